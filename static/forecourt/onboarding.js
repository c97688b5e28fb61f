/* Keeps the preview of the onboarding's columns current while a person chooses. Without it the button does the same. */
(() => {
  const form = document.querySelector("[data-fc-live]");
  if (!form) return;
  const box = form.querySelector("[data-fc-live-box]");
  const note = form.querySelector("[data-fc-live-note]");
  let asked = 0;
  let waiting = null;

  const refresh = async () => {
    const mine = ++asked;
    note.textContent = "Reading the first rows…";
    try {
      const response = await fetch(form.dataset.fcLive, { method: "POST", body: new FormData(form), credentials: "same-origin" });
      if (!response.ok) throw new Error(String(response.status));
      const text = await response.text();
      if (mine !== asked) return; // a later choice is on its way
      const focus = box.contains(document.activeElement) ? document.activeElement : null;
      const mark = focus && `[name="${focus.name}"]${focus.type === "radio" ? `[value="${CSS.escape(focus.value)}"]` : ""}`;
      const typed = focus && focus.type === "text" ? focus.value : null;
      box.innerHTML = text;
      const again = mark && box.querySelector(mark);
      if (again) {
        again.focus();
        if (typed !== null) again.value = typed;
      }
      note.textContent = "";
    } catch {
      if (mine === asked) note.textContent = "The preview could not be read just now. Your choices stay; “Preview again” tries once more.";
    }
  };

  form.addEventListener("change", (event) => {
    if (!event.target.name) return;
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 150);
  });
})();
