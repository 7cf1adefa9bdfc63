import { fillMemory } from "./texture.ts";

// Faults for tests of what happens when the GPU fails. Nothing here does anything unless a test calls injectFaults().

/** What is to go wrong. Submits and allocations are counted from 1, over all devices. */
export interface Faults {
  /** Destroys the device just before this submit. */
  readonly destroyAtSubmit?: number;
  /** Lets this allocation of a buffer fail for lack of memory. */
  readonly failAllocation?: number;
  /**
   * Fills buffers with NaN, once, just before this submit: those whose label is `poisonLabel`, or if there are none yet,
   * the first, when it is there.
   */
  readonly poisonAtSubmit?: number;
  /** Label of the buffers to fill. */
  readonly poisonLabel?: string;
  /** Destroys or fails again at each later chance, so that trying again does not help. Default false. */
  readonly repeated?: boolean;
}

/** What happened since `injectFaults()`. */
export interface FaultCounts {
  readonly submits: number;
  readonly allocations: number;
  /** Buffers filled with NaN. */
  readonly poisoned: number;
}

/** f32 NaN; as two packed f16 values: NaN and 0. */
const NAN_WORD = 0x7fc00000;

class ActiveFaults implements FaultCounts {
  submits = 0;
  allocations = 0;
  poisoned = 0;
  readonly #faults: Faults;
  readonly #buffers = new Set<GPUBuffer | GPUTexture>();

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  beforeSubmit(device: GPUDevice): void {
    this.submits++;
    if (this.#strikes(this.submits, this.#faults.destroyAtSubmit)) device.destroy();
    const { poisonAtSubmit = Infinity } = this.#faults;
    if (this.submits < poisonAtSubmit || this.poisoned > 0) return;
    for (const buffer of this.#buffers) {
      fillMemory(device, buffer, NAN_WORD);
      this.poisoned++;
    }
  }

  afterAllocation(buffer: GPUBuffer | GPUTexture): GPUError | null {
    this.allocations++;
    if (buffer.label === this.#faults.poisonLabel) this.#buffers.add(buffer);
    if (!this.#strikes(this.allocations, this.#faults.failAllocation)) return null;
    buffer.destroy(); // using it is an error from now on, as it is with what a driver failed to allocate
    return new GPUOutOfMemoryError("injected fault");
  }

  #strikes(count: number, at = Infinity): boolean {
    return this.#faults.repeated ? count >= at : count === at;
  }
}

let active: ActiveFaults | null = null;

/** Lets the GPU fail as `faults` say, until the next call; null ends that. Returns counts that go on. For tests only. */
export function injectFaults(faults: Faults | null): FaultCounts {
  const injected = new ActiveFaults(faults ?? {});
  active = faults && injected;
  return injected;
}

/** To be called before each submit. */
export function beforeSubmit(device: GPUDevice): void {
  active?.beforeSubmit(device);
}

/** To be called after each allocation; returns the error that a test wants. */
export function afterAllocation(buffer: GPUBuffer | GPUTexture): GPUError | null {
  return active?.afterAllocation(buffer) ?? null;
}
