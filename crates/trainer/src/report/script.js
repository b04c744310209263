"use strict";
// Tells the numbers under the pointer; without it the page is complete.
const trim = (number, digits) => String(Number(number.toPrecision(digits)));
const scaled = (number, step, units) => {
  let unit = 0;
  while (Math.abs(number) >= step && unit + 1 < units.length) { number /= step; unit += 1; }
  return trim(number, unit ? 3 : 4) + units[unit];
};
const formats = {
  plain: (number) => trim(number, 4),
  percent: (number) => trim(100 * number, 3) + "%",
  count: (number) => scaled(number, 1000, ["", "k", "M", "G", "T"]),
  bytes: (number) => scaled(number, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]),
};
const nearest = (xs, x) => {
  let low = 0;
  let high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) { low = middle + 1; } else { high = middle; }
  }
  return low > 0 && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
};
for (const plot of document.querySelectorAll(".plot")) {
  const chart = JSON.parse(plot.querySelector("script").textContent);
  const [left, right, first, last] = chart.x;
  const hover = document.createElement("div");
  const tip = document.createElement("div");
  hover.className = "hover";
  tip.className = "tip";
  hover.append(tip);
  plot.append(hover);
  hover.addEventListener("pointermove", (event) => {
    const box = hover.getBoundingClientRect();
    const scale = box.width / chart.size[0];
    const share = ((event.clientX - box.left) / scale - left) / (right - left);
    const under = first + Math.min(1, Math.max(0, share)) * (last - first);
    // The line with the most points says which step is meant.
    const finest = chart.series.reduce((a, b) => (b.x.length > a.x.length ? b : a));
    const step = finest.x[nearest(finest.x, under)];
    const at = (left + ((step - first) / (last - first)) * (right - left)) * scale;
    tip.replaceChildren(document.createTextNode("step " + step));
    for (const series of chart.series) {
      const index = nearest(series.x, step);
      const row = document.createElement("div");
      const dot = document.createElement("i");
      dot.className = "c" + series.colour;
      const value = formats[chart.format](series.y[index]);
      const when = series.x[index] === step ? "" : " (step " + series.x[index] + ")";
      row.append(dot, chart.series.length > 1 ? series.name + " " + value + when : value + when);
      tip.append(row);
    }
    const room = box.width - tip.offsetWidth;
    tip.style.left = Math.max(0, Math.min(room, at > box.width / 2 ? at - tip.offsetWidth - 12 : at + 12)) + "px";
    plot.style.setProperty("--at", at + "px");
    plot.style.setProperty("--on", 1);
  });
  hover.addEventListener("pointerleave", () => plot.style.setProperty("--on", 0));
}
