import { modelFolders } from "../checkpoint/contained_file.ts";
import { CACHE_VARIABLES, cacheEntry, hubFolder } from "../hub/cache.ts";
import { escapeName } from "../text/escape_name.ts";
import type { CliCommand } from "./arguments.ts";
import { BUNDLED } from "./bundled.ts";
import { readEnvironment } from "./environment.ts";
import { CliError, EXIT } from "./exit_codes.ts";
import { START_FOLDER } from "./start_folder.ts";
import { tuningFolder } from "./tuning_folder.ts";

/** What a command may touch besides the GPU and its standard streams. A path stands for all that lies in it. */
export interface Grants {
  readonly read: readonly string[];
  readonly write: readonly string[];
  /** Environment variables. */
  readonly env: readonly string[];
  /** Facts about the system, in Deno's terms. */
  readonly sys: readonly "statfs"[];
  /** The network. A hub sends files from hosts that only its answers name, so it is all or nothing. */
  readonly net: boolean;
}

const NOTHING: Grants = { read: [], write: [], env: [], sys: [], net: false };
/** Kinds that no command gets. */
const NEVER = { run: false, ffi: false, import: false } as const;
const KINDS = ["read", "write", "env", "net", "run", "ffi", "sys", "import"] as const;
const BACKEND = "DENO_WEBGPU_BACKEND";
const FREE_SPACE = ["statfs"] as const;

/** The least that a command works with. */
export function grantsOf(command: CliCommand): Grants {
  const { packages } = BUNDLED;
  switch (command.command) {
    case "upscale": {
      const { input, output, model, flow, temporal, tuning } = command;
      const cache = tuning === "off" ? NOTHING : tuningGrants();
      return {
        ...NOTHING,
        read: [input, output, ...modelGrants(model, flow, temporal), packages, ...cache.read],
        write: [output, ...cache.write],
        env: [...new Set([BACKEND, ...cache.env, ...CACHE_VARIABLES, START_FOLDER])],
        sys: FREE_SPACE,
      };
    }
    case "plan": {
      const { input, model, flow, temporal } = command;
      const read = [input, ...modelGrants(model, flow, temporal), packages];
      return { ...NOTHING, read, env: [BACKEND, ...CACHE_VARIABLES, START_FOLDER] };
    }
    case "fetch": {
      const hub = hubFolder(readEnvironment);
      const entry = hub === undefined ? [] : [cacheEntry(hub, command.repo)];
      const env = [...CACHE_VARIABLES, "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN", START_FOLDER];
      return { read: entry, write: entry, env, sys: FREE_SPACE, net: true };
    }
    case "convert": {
      const { model, flow, temporal, output } = command;
      const read = [output, ...modelGrants(model, flow, temporal)];
      return {
        ...NOTHING,
        read,
        write: [output],
        env: [...CACHE_VARIABLES, START_FOLDER],
        sys: FREE_SPACE,
      };
    }
    case "demo": {
      const { demoFrames, demoUpscaled, demoGroundTruth, model } = BUNDLED;
      const cache = tuningGrants();
      return {
        ...NOTHING,
        read: [demoFrames, demoUpscaled, demoGroundTruth, ...modelGrants(model), packages, ...cache.read],
        write: [demoUpscaled, ...cache.write],
        env: [BACKEND, ...cache.env],
        sys: FREE_SPACE,
      };
    }
    case "compare": {
      const { input, reference, lowResolution } = command;
      const read = [input, reference, ...lowResolution === undefined ? [] : [lowResolution], packages];
      return { ...NOTHING, read, env: [START_FOLDER] };
    }
    case "doctor":
      return { ...NOTHING, env: [BACKEND, "VK_DRIVER_FILES", "VK_ICD_FILENAMES"] };
  }
}

/** For a model's folder and parts of it that lie elsewhere, which may be reached through links and consist of links. */
function modelGrants(...paths: readonly (string | undefined)[]): string[] {
  return paths.filter((path) => path !== undefined).flatMap((path) => {
    try {
      return [path, ...modelFolders(Deno.realPathSync(path))];
    } catch {
      return [path]; // opening it says what is wrong
    }
  });
}

/** For keeping what was measured on this GPU, and for finding out where. */
function tuningGrants(): Grants {
  const folder = tuningFolder();
  const folders = folder === undefined ? [] : [folder];
  return { ...NOTHING, read: folders, write: folders, env: ["XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"] };
}

/** Throws `CliError` (noPermission) unless this thread may pass on `grants` and load the program's modules. */
export function checkPermissions({ read, write, env, sys, net }: Grants): void {
  const { sources, shaders, config, packages } = BUNDLED;
  const missing = [
    ...[...read, sources, shaders, config, packages].map((path) => ({ name: "read", path }) as const),
    ...write.map((path) => ({ name: "write", path }) as const),
    ...env.map((variable) => ({ name: "env", variable }) as const),
    ...sys.map((kind) => ({ name: "sys", kind }) as const),
    ...net ? [{ name: "net" } as const] : [],
  ].filter((permission) => Deno.permissions.querySync(permission).state !== "granted");
  if (missing.length === 0) return;
  const flags = missing.map(({ name, ...what }) =>
    [`--allow-${name}`, ...Object.values(what).map(escapeName)].join("=")
  );
  throw new CliError(
    EXIT.noPermission,
    `Cannot start without ${
      flags.join(" ")
    }: Deno gives less. Start it with deno task, or add what is missing`,
  );
}

/** Starts a module as a worker that has `grants` and no other permission. */
export function startConfined(module: URL, { read, write, env, sys, net }: Grants): Worker {
  const permissions = { ...NEVER, read: [...read], write: [...write], env: [...env], sys: [...sys], net };
  return new Worker(module, { type: "module", deno: { permissions } });
}

/** Gives up every permission of this thread but those to keep. Workers keep theirs. */
export function dropPermissions(keep: readonly typeof KINDS[number][] = []): void {
  for (const name of KINDS) if (!keep.includes(name)) Deno.permissions.revokeSync({ name });
}
