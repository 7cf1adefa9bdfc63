/** Folders that hold data, dependencies or products, never source. */
const SKIPPED_FOLDERS = new Set(["node_modules", "golden", "weights", "out"]);

/**
 * Reads the source and documentation files under `root`: TypeScript, WGSL, Markdown and shell.
 *
 * Returns path to text, paths relative to `root` with forward slashes, in alphabetical order. Hidden folders,
 * `node_modules`, goldens and weights are left out. Throws `Deno.errors.NotFound` if `root` is not there.
 */
export async function readTree(root: string): Promise<Map<string, string>> {
  const files: [string, string][] = [];

  async function walk(folder: string): Promise<void> {
    for await (const entry of Deno.readDir(`${root}/${folder}`)) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory) {
        if (!entry.name.startsWith(".") && !SKIPPED_FOLDERS.has(entry.name)) await walk(path);
      } else if (/\.(ts|wgsl|md|sh)$/.test(entry.name)) {
        files.push([path, await Deno.readTextFile(`${root}/${path}`)]);
      }
    }
  }

  await walk("");
  return new Map(files.sort(([a], [b]) => a < b ? -1 : 1));
}
