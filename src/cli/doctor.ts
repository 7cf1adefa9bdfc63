// deno-lint-ignore-file no-console -- a command prints

import { type AdapterFacts, findAdapter, Gpu } from "../gpu/device.ts";
import { NoAdapterError } from "../gpu/errors.ts";
import { Recorder } from "../gpu/recorder.ts";
import { scale } from "../kernels/elementwise.ts";
import { escapeName } from "../text/escape_name.ts";
import type { DoctorCommand } from "./arguments.ts";
import { describeBackend, readEnvironment } from "./environment.ts";
import { EXIT, type ExitCode } from "./exit_codes.ts";

const LINUX_DRIVERS = `
To use a GPU, install the Vulkan loader and the GPU's driver:
  Debian, Ubuntu   libvulkan1, and nvidia-driver (NVIDIA) or mesa-vulkan-drivers (AMD, Intel)
  several drivers  VK_DRIVER_FILES=FILE.json takes one of them; DENO_WEBGPU_BACKEND=vulkan rules OpenGL out
In a container:
  NVIDIA           run with --gpus all and --runtime=nvidia (or CDI), and set
                   NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics: without "graphics" there is no Vulkan;
                   packages libvulkan1 libegl1 libglvnd0 libx11-6 libxext6, and not mesa-vulkan-drivers
  AMD, Intel       run with --device /dev/dri; packages libvulkan1 mesa-vulkan-drivers
"XDG_RUNTIME_DIR is invalid" on stderr comes from the graphics stack and is harmless`;

const MAC_DRIVERS = `
macOS brings Metal along: a virtual machine without graphics acceleration is the usual reason for no GPU`;

const WINDOWS_DRIVERS = `
To use a GPU, install the driver from the GPU's maker; DENO_WEBGPU_BACKEND=dx12 or vulkan takes one of its interfaces`;

/**
 * Prints what WebGPU finds and whether it computes correctly. Returns `ok` if a hardware adapter works, or a
 * software one with `allowCpu`, else `unavailable`.
 */
export async function doctor({ allowCpu }: DoctorCommand): Promise<ExitCode> {
  row("deno", Deno.version.deno);
  row("platform", `${Deno.build.os} ${Deno.build.arch}`);
  row("backend", describeBackend());
  for (const variable of ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]) {
    const value = readEnvironment(variable);
    if (value) row(variable, escapeName(value));
  }
  let facts: AdapterFacts;
  try {
    row("adapter", escapeName((await findAdapter()).info.description));
    using gpu = await Gpu.open({ allowCpu: true });
    facts = gpu.facts;
    printFacts(facts);
    row("computation", await checkComputation(gpu));
  } catch (error) {
    const { message } = error as Error;
    console.log(`\nNot usable: ${escapeName(message)}`);
    if (error instanceof NoAdapterError) printDrivers();
    return EXIT.unavailable;
  }
  row("not known", "free GPU memory and driver version: WebGPU does not tell");
  if (!facts.software) {
    console.log("\nOK: a hardware adapter computes correctly");
    return EXIT.ok;
  }
  console.log(
    "\nNo GPU: only a software adapter was found. It computes correctly on the CPU, with --allow-cpu",
  );
  printDrivers();
  return allowCpu ? EXIT.ok : EXIT.unavailable;
}

function printFacts(facts: AdapterFacts): void {
  row("vendor", escapeName(facts.vendor) || "not told");
  row("architecture", escapeName(facts.architecture) || "not told");
  row("kind", facts.software ? "software: computes on the CPU" : "hardware");
  row("subgroups", facts.subgroupSize > 0 ? `usable, ${facts.subgroupSize} lanes` : "not usable");
  row("timestamp-query", facts.timestamps ? "yes" : "no");
  row("shader-f16", facts.float16 ? "yes" : "no");
  row("largest binding", formatMebibytes(facts.maxBindingBytes));
  row("largest buffer", formatMebibytes(facts.maxBufferBytes));
  row("workgroup", `${facts.maxInvocations} invocations, ${facts.maxWorkgroupBytes / 1024} KiB`);
}

/** Has the device double some numbers; throws if one of them comes back wrong. */
async function checkComputation(gpu: Gpu): Promise<string> {
  const values = Float32Array.from({ length: 4096 }, (_, i) => i - 2048.5);
  const start = performance.now();
  const x = gpu.tensor([1, values.length], "numbers", values);
  const rec = new Recorder(gpu);
  const y = scale(rec, x, { factor: 2, label: "double" });
  using plan = await rec.finish([y]);
  gpu.submit((encoder) => plan.encode(encoder));
  const doubled = await gpu.read(y);
  const wrong = values.findIndex((value, i) => doubled[i] !== 2 * value);
  if (wrong >= 0) {
    throw new Error(
      `Cannot trust this device: 2 * ${values[wrong]} gave ${doubled[wrong]}. Update or change its driver`,
    );
  }
  return `${values.length} numbers doubled correctly in ${(performance.now() - start).toFixed(0)} ms`;
}

function printDrivers(): void {
  const drivers: Partial<Record<typeof Deno.build.os, string>> = {
    darwin: MAC_DRIVERS,
    windows: WINDOWS_DRIVERS,
  };
  console.log(drivers[Deno.build.os] ?? LINUX_DRIVERS);
}

function row(name: string, value: string): void {
  console.log(`${name.padEnd(17)}${value}`);
}

function formatMebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
