import assert from "node:assert/strict";
import { barChart } from "../../bench/bar_chart.ts";

const CHART = barChart("adapter <1>", [
  {
    title: "GB/s",
    bars: [
      { label: "half & half", value: 2, text: "2 GB/s" },
      { label: "whole", value: 4, text: "4 GB/s" },
    ],
  },
  { title: "ms", bars: [{ label: "nothing", value: 0, text: "0 ms" }] },
]);

Deno.test("barChart() scales each section by its longest bar", () => {
  const widths = [...CHART.matchAll(/<rect x="440" y="\d+" width="([\d.]+)"/g)].map(([, width]) => width);
  assert.deepEqual(widths, ["150.0", "300.0", "0.0"]);
});

Deno.test("barChart() writes title, sections, labels and values in order, escaped", () => {
  const texts = [...CHART.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
  assert.deepEqual(texts, [
    "adapter &lt;1>",
    "GB/s",
    ...["half &amp; half", "2 GB/s", "whole", "4 GB/s"],
    "ms",
    ...["nothing", "0 ms"],
  ]);
});

Deno.test("barChart() is as high as its lines need", () => {
  const height = Number(/<svg [^>]* height="(\d+)"/.exec(CHART)![1]);
  const rows = [...CHART.matchAll(/<text x="\d+" y="(\d+)"/g)].map(([, y]) => Number(y));
  assert.equal(height, rows.at(-1)! + 12);
  assert.deepEqual(rows.toSorted((a, b) => a - b), rows);
});
