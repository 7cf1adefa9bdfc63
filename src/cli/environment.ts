import { escapeName } from "../text/escape_name.ts";
import { CliError, EXIT } from "./exit_codes.ts";

/** Value of an environment variable: undefined if it is not set or may not be read. */
export function readEnvironment(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) || undefined : undefined;
}

/** The folder that a task was started in; Deno runs it in the repository's. */
export const START_FOLDER = "INIT_CWD";

/** Makes relative paths count from the folder that the user is in. Throws `CliError` (noInput) if there is none. */
export function enterStartFolder(): void {
  const folder = readEnvironment(START_FOLDER);
  if (folder === undefined) return;
  try {
    Deno.chdir(folder);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return; // what else is missing is told together
    throw new CliError(
      EXIT.noInput,
      `Cannot enter "${escapeName(folder)}", where relative paths count from. Unset ${START_FOLDER}`,
      { cause: error },
    );
  }
}

/** The WebGPU backend in words. Deno does not tell which one it took, only the variable that chooses it is known. */
export function describeBackend(): string {
  const chosen = readEnvironment("DENO_WEBGPU_BACKEND");
  if (chosen) return `${chosen} (DENO_WEBGPU_BACKEND)`;
  const backends: Partial<Record<typeof Deno.build.os, string>> = {
    darwin: "Metal",
    windows: "Direct3D 12 or Vulkan",
  };
  return `${backends[Deno.build.os] ?? "Vulkan"} (default of this platform)`;
}
