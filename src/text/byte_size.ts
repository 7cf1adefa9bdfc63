const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/**
 * Bytes of a size such as "800MB", "2.5 GiB" or "1000000"; undefined for anything else, zero and what is not a safe
 * integer after rounding down.
 */
export function parseByteSize(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(text) ?? [];
  const scale = UNITS[unit?.toLowerCase() ?? "?"];
  if (number === undefined || scale === undefined) return undefined;
  const bytes = Math.floor(Number(number) * scale);
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

/** Bytes for people, such as "1.93 GB"; rounded up, so that a limit of what was printed is enough. */
export function formatByteSize(bytes: number): string {
  for (const [unit, scale] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]] as const) {
    if (bytes < scale) continue;
    const digits = bytes < 10 * scale ? 2 : bytes < 100 * scale ? 1 : 0;
    return `${Number((Math.ceil(bytes / scale * 10 ** digits) / 10 ** digits).toFixed(digits))} ${unit}`;
  }
  return `${bytes} B`;
}
