/** Value of an environment variable: undefined if it is not set or may not be read. */
export function readEnvironment(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) || undefined : undefined;
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
