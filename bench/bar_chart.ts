/** One bar of a chart. */
export interface Bar {
  readonly label: string;
  /** Length, 0 or more. */
  readonly value: number;
  /** Written at the end of the bar. */
  readonly text: string;
}

const LABEL_WIDTH = 440, BAR_WIDTH = 300, TEXT_WIDTH = 120, ROW = 18, GAP = 12;

/** An SVG picture of horizontal bars; each section, of one or more bars, has its own scale. */
export function barChart(
  title: string,
  sections: readonly { readonly title: string; readonly bars: readonly Bar[] }[],
): string {
  const lines: string[] = [];
  let y = ROW;
  const text = (x: number, content: string, attributes = "") =>
    lines.push(`<text x="${x}" y="${y}"${attributes}>${escapeXml(content)}</text>`);
  text(GAP, title);
  for (const { title, bars } of sections) {
    y += ROW + GAP;
    text(GAP, title, ' font-weight="bold"');
    const longest = Math.max(...bars.map(({ value }) => value)) || 1;
    for (const bar of bars) {
      y += ROW;
      const length = (BAR_WIDTH * bar.value / longest).toFixed(1);
      text(LABEL_WIDTH - 6, bar.label, ' text-anchor="end"');
      lines.push(
        `<rect x="${LABEL_WIDTH}" y="${y - 12}" width="${length}" height="${ROW - 3}" fill="#4a7ebb"/>`,
      );
      text(LABEL_WIDTH + Number(length) + 6, bar.text);
    }
  }
  const width = LABEL_WIDTH + BAR_WIDTH + TEXT_WIDTH, height = y + GAP;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    ...lines,
    "</svg>",
    "",
  ].join("\n");
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
