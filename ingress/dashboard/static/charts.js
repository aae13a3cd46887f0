// Draws the charts of /dashboard/now from /dashboard/history.json, and again every half minute.
"use strict";

const AGAIN_MS = 30000;
const COLOURS = ["#0b7fd6", "#c2570c", "#2f8f4e", "#8250c4"];
const drawn = new Map();

// The values of one figure of every row, as far as it is there; of a counter, its growth a second.
function values(rows, path, isCounter) {
  const found = rows.map((row) => path.split(".").reduce((part, name) => part?.[name], row) ?? null);
  if (!isCounter) return found;
  return found.map((value, i) => {
    const before = i ? found[i - 1] : null;
    const seconds = i ? (Date.parse(rows[i].at) - Date.parse(rows[i - 1].at)) / 1000 : 0;
    return value === null || before === null || value < before ? null : (value - before) / seconds;
  });
}

function draw(place, rows) {
  const series = JSON.parse(place.dataset.series);
  const data = [
    rows.map((row) => Date.parse(row.at) / 1000),
    ...series.map((one) => values(rows, one.figure, one.counter)),
  ];
  const text = getComputedStyle(place).color;
  const line = getComputedStyle(place).borderTopColor;
  drawn.get(place)?.destroy();
  const hours = Number(place.dataset.hours);
  const clock = (seconds) => {
    const iso = new Date(seconds * 1000).toISOString();
    return hours > 24 ? iso.slice(5, 16).replace("T", " ") : iso.slice(11, 16);
  };
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  drawn.set(place, new uPlot({
    width: place.clientWidth,
    height: 180,
    scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(1e-9, (high ?? 0) * 1.1) || 1] } },
    axes: [{ ...axis, space: 80, values: (_, at) => at.map(clock) }, { ...axis, size: 60 }],
    series: [{ label: "UTC", value: (_, at) => (at === null ? "--" : clock(at)) }, ...series.map((one, i) => ({
      label: one.label, stroke: COLOURS[i % COLOURS.length], width: 1.5, spanGaps: false,
    }))],
  }, data, place));
}

async function refresh() {
  const places = [...document.querySelectorAll("[data-series]")];
  if (!places.length) return;
  const hours = places[0].dataset.hours;
  const reply = await fetch(`/dashboard/history.json?hours=${hours}`, { credentials: "same-origin" });
  if (!reply.ok) return;
  const rows = await reply.json();
  for (const place of places) {
    place.nextElementSibling.hidden = rows.length > 1;
    if (rows.length > 1) draw(place, rows);
  }
}

refresh();
setInterval(refresh, AGAIN_MS);
addEventListener("resize", refresh);
