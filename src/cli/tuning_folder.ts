import { isAbsolute, join } from "node:path";
import { readEnvironment } from "./environment.ts";

/** Where this platform keeps what can be made again, in a folder of ours; undefined if the environment does not tell. */
export function tuningFolder(
  os: typeof Deno.build.os = Deno.build.os,
  read: (variable: string) => string | undefined = readEnvironment,
): string | undefined {
  const home = read("HOME");
  const caches = os === "windows"
    ? read("LOCALAPPDATA")
    : os === "darwin"
    ? home && join(home, "Library", "Caches")
    : absolute(read("XDG_CACHE_HOME")) ?? (home && join(home, ".cache"));
  return caches && join(caches, "dgaf-vsr");
}

/** The XDG specification wants relative paths ignored. */
function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}
