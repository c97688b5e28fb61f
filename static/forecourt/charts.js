/* Draws every <canvas data-fc-chart="id"> from the JSON in <script id>, in the theme's colours, and fills the table beside it. */
(() => {
  const charts = [];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = (value) => value === null || value === undefined ? "–" : new Intl.NumberFormat(undefined, { maximumFractionDigits: Math.abs(value) < 10 ? 3 : 1 }).format(value);

  const datasetsOf = (spec) => {
    const out = [];
    for (const series of spec.series) {
      const color = css(`--fc-chart-${series.role}`);
      if (series.role === "band") {
        out.push({ label: `${series.name}, lower`, data: series.low, borderWidth: 0, pointRadius: 0, fill: false, fc: "hidden" });
        out.push({ label: series.name, data: series.high, borderWidth: 0, pointRadius: 0, fill: "-1", backgroundColor: color });
        continue;
      }
      out.push({
        label: series.name, data: series.values, borderColor: color, backgroundColor: color,
        borderWidth: spec.type === "bar" ? 0 : 2, pointRadius: spec.type === "scatter" || series.points ? 3 : 0, pointHitRadius: 8,
        borderDash: series.dashed ? [5, 4] : [], tension: 0, spanGaps: false, order: series.role === "actual" ? 0 : 1,
        maxBarThickness: 26,
      });
    }
    return out;
  };

  const optionsOf = (spec) => ({
    animation: false, responsive: true, maintainAspectRatio: false,
    indexAxis: spec.horizontal ? "y" : "x",
    interaction: { mode: "index", intersect: false, axis: spec.horizontal ? "y" : "x" },
    plugins: {
      legend: { display: false },
      tooltip: {
        filter: (item) => item.dataset.fc !== "hidden" && item.raw !== null,
        callbacks: { label: (item) => `${item.dataset.label}: ${number(item.raw)}${spec.unit ? " " + spec.unit : ""}` },
      },
    },
    scales: {
      x: { grid: { display: Boolean(spec.horizontal), color: css("--fc-chart-grid") }, ticks: { color: css("--fc-chart-text"), maxRotation: 0, autoSkipPadding: 16 }, title: { display: Boolean(spec.xTitle), text: spec.xTitle, color: css("--fc-chart-text") } },
      y: { beginAtZero: spec.fromZero !== false, grid: { display: !spec.horizontal, color: css("--fc-chart-grid") }, ticks: { color: css("--fc-chart-text") }, title: { display: Boolean(spec.yTitle), text: spec.yTitle, color: css("--fc-chart-text") } },
    },
  });

  const fillTable = (canvas, spec) => {
    const holder = document.querySelector(`[data-fc-table="${canvas.dataset.fcChart}"]`);
    if (!holder || holder.dataset.filled) return;
    holder.dataset.filled = "1";
    const table = document.createElement("table");
    table.className = "fc-table";
    const head = table.createTHead().insertRow();
    const columns = [];
    for (const series of spec.series) {
      if (series.role === "band") { columns.push([`${series.name}, from`, series.low], [`${series.name}, to`, series.high]); }
      else columns.push([series.name, series.values]);
    }
    for (const title of [spec.labelTitle || "", ...columns.map((column) => column[0])]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = title;
      head.append(cell);
    }
    const body = table.createTBody();
    spec.labels.forEach((label, index) => {
      const row = body.insertRow();
      const first = document.createElement("th");
      first.scope = "row";
      first.textContent = label;
      row.append(first);
      for (const column of columns) {
        const cell = row.insertCell();
        cell.className = "fc-num";
        cell.textContent = number(column[1][index]);
      }
    });
    holder.replaceChildren(table);
  };

  const draw = () => {
    while (charts.length) charts.pop().destroy();
    Chart.defaults.font.family = "Inter, system-ui, sans-serif";
    for (const canvas of document.querySelectorAll("canvas[data-fc-chart]")) {
      const spec = JSON.parse(document.getElementById(canvas.dataset.fcChart).textContent);
      charts.push(new Chart(canvas.getContext("2d"), { type: spec.type, data: { labels: spec.labels, datasets: datasetsOf(spec) }, options: optionsOf(spec) }));
      const details = document.querySelector(`[data-fc-table="${canvas.dataset.fcChart}"]`)?.closest("details");
      details?.addEventListener("toggle", () => fillTable(canvas, spec), { once: true });
    }
  };

  window.addEventListener("load", () => {
    draw();
    let dark = document.documentElement.classList.contains("dark");
    new MutationObserver(() => {
      const now = document.documentElement.classList.contains("dark");
      if (now !== dark) { dark = now; draw(); }
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  });
})();
