import { GpuError } from "./errors.ts";

// Deno 2.9 accepts this feature in requestDevice() though adapter.features does not list it (gfx-rs/wgpu#7813).
const SUBGROUPS = "subgroups" as GPUFeatureName;

/** The adapter's device, with subgroups where it has them and they are wanted. Throws `GpuError` where it gives none. */
export async function requestDevice(
  adapter: GPUAdapter,
  features: GPUFeatureName[],
  requiredLimits: Record<string, number>,
  trySubgroups: boolean,
): Promise<{ device: GPUDevice; subgroups: boolean }> {
  if (trySubgroups) {
    try {
      const device = await adapter.requestDevice({
        requiredFeatures: [...features, SUBGROUPS],
        requiredLimits,
      });
      return { device, subgroups: true };
    } catch {
      // This adapter has no subgroups: go on without.
    }
  }
  try {
    const device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits });
    return { device, subgroups: false };
  } catch (cause) {
    const { description } = adapter.info;
    throw new GpuError(
      "lost",
      `Cannot open "${description}": ${cause}. Run the same command again; if this repeats, update the GPU driver`,
      { cause },
    );
  }
}
