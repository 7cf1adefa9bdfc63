// Writes the WGSL of kernels as it is compiled, one file per variant, for tools that look at it.
// Usage: deno run --allow-read --allow-write tools/write_shaders.ts FOLDER KERNEL...

// deno-lint-ignore-file no-console -- a command prints

import { join } from "node:path";
import { type Constants, Kernel } from "../src/gpu/kernel.ts";

/** All kernels of src/kernels, by name. */
async function findKernels(): Promise<Map<string, Kernel>> {
  const folder = new URL("../src/kernels/", import.meta.url), kernels = new Map<string, Kernel>();
  for await (const { name } of Deno.readDir(folder)) {
    const exports: Record<string, unknown> = await import(new URL(name, folder).href);
    for (const value of Object.values(exports)) {
      if (value instanceof Kernel) kernels.set(value.name, value);
    }
  }
  return kernels;
}

/** Name of a variant's file: the kernel's and the constants' values. */
function fileName(kernel: Kernel, constants: Constants): string {
  return `${[kernel.name, ...Object.values(constants)].join("-")}.wgsl`;
}

if (import.meta.main) {
  const [folder, ...names] = Deno.args;
  const kernels = await findKernels();
  const unknown = names.find((name) => !kernels.has(name));
  if (!folder || names.length === 0 || unknown) {
    console.error(
      `Usage: write_shaders.ts FOLDER KERNEL..., kernels: ${[...kernels.keys()].sort().join(", ")}`,
    );
    Deno.exit(2);
  }
  await Deno.mkdir(folder, { recursive: true });
  for (const name of names) {
    const kernel = kernels.get(name)!;
    for (const constants of kernel.declaration.variants ?? [{}]) {
      const path = join(folder, fileName(kernel, constants));
      await Deno.writeTextFile(path, kernel.text(constants));
      console.log(path);
    }
  }
}
