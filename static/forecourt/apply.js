/* The application form: an address from the name, whether it is free, and what the country usually means.
   Without this script the form works the same; the server checks everything again. */
(() => {
  const form = document.querySelector("form[data-check]");
  if (!form) return;
  const field = (name) => form.elements.namedItem(name);
  const says = document.getElementById("fc-address");
  const countries = JSON.parse(form.dataset.countries);
  let own = Boolean(field("address").value);
  let asked = 0;
  let timer = 0;

  const ask = async (params) => {
    const answer = await fetch(`${form.dataset.check}?${new URLSearchParams(params)}`, { credentials: "same-origin" });
    return answer.json();
  };
  const check = async () => {
    const address = field("address").value.trim();
    const number = ++asked;
    if (!address) { says.textContent = ""; return; }
    try {
      const found = await ask({ address });
      if (number === asked) says.textContent = found.message;
    } catch { says.textContent = "It is checked when you send the form."; }
  };
  const later = (act) => { clearTimeout(timer); timer = setTimeout(act, 350); };

  field("business_name").addEventListener("input", () => {
    if (own) return;
    later(async () => {
      try { field("address").value = (await ask({ name: field("business_name").value })).address; } catch { return; }
      check();
    });
  });
  field("address").addEventListener("input", () => { own = Boolean(field("address").value); later(check); });
  field("country").addEventListener("change", () => {
    const usual = countries[field("country").value];
    if (usual) [field("time_zone").value, field("currency").value] = usual;
  });
  says.textContent = "";
  if (own) check();
})();
