/* Keeps a run's page current while the run lives. The page may be closed at any time: the work does not depend on it. */
(() => {
  const box = document.querySelector("[data-fc-run]");
  if (!box) return;
  const put = (name, text) => { for (const node of box.querySelectorAll(`[data-fc="${name}"]`)) node.textContent = text; };
  let failures = 0;

  const show = (state) => {
    const bar = box.querySelector("[role=progressbar]");
    const known = state.percent !== null;
    bar.classList.toggle("is-unknown", !known && state.live);
    bar.firstElementChild.style.width = known ? `${state.percent}%` : "";
    if (known) bar.setAttribute("aria-valuenow", state.percent); else bar.removeAttribute("aria-valuenow");
    put("message", state.message);
    put("done", state.done_text);
    put("rate", state.rate_text);
    put("left", state.left_text);
    put("elapsed", state.elapsed_text);
    put("state", state.state_label);
  };

  const poll = async () => {
    try {
      const response = await fetch(box.dataset.fcRun, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      if (!response.ok) throw new Error(String(response.status));
      const state = await response.json();
      failures = 0;
      put("trouble", "");
      show(state);
      if (state.state !== box.dataset.state && (!state.live || box.dataset.state === "queued" || state.state === "lost")) { window.location.reload(); return; }
      if (!state.live) return;
    } catch {
      failures += 1;
      put("trouble", "No answer from the server just now; the run goes on. Trying again.");
    }
    setTimeout(poll, Math.min(2000 * (1 + failures), 15000));
  };
  setTimeout(poll, 1000);
})();
