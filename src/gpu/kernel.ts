import { createHash } from "node:crypto";
import type { Gpu } from "./device.ts";
import type { DType, StorageKind } from "./tensor.ts";
import { TEXTURE_FORMATS } from "./texture.ts";
import { specialise, unroll } from "./unroll.ts";

export type Access = "read" | "write" | "read_write";
export type Scalar = "u32" | "i32" | "f32";
/** Values for the shader's `const` and `alias` lines, and storage types of bindings. */
export type Constants = Readonly<Record<string, number | string>>;

/** Everything that says what a shader is and what it binds; the WGSL file must agree (a test compares them). */
export interface KernelDeclaration {
  /** The WGSL file's stem. */
  readonly name: string;
  /** Text of the WGSL file. */
  readonly source: string;
  /** Whole `wgsl/lib/*.wgsl` files put before the source. */
  readonly library?: readonly string[];
  /**
   * Bindings that may hold packed f16 or a texture: for each, the library that declares the binding and reads it, by
   * how it is stored. The recorder chooses by the tensor that is bound.
   */
  readonly storage?: Readonly<Record<string, Readonly<Partial<Record<StorageKind, string>>>>>;
  /** Storage buffers in binding order. `write` and `read_write` are both `read_write` in WGSL. */
  readonly bindings: Readonly<Record<string, Access>>;
  /** Members of `struct Params`, in order; bound last, as a uniform. */
  readonly params: Readonly<Record<string, Scalar>>;
  /** Sets of constants in use beside the file's own values, all compiled by a test. */
  readonly variants?: readonly Constants[];
  /** True when the shader uses subgroup operations. */
  readonly subgroups?: boolean;
}

/** A declared kernel; made by `defineKernel`. */
export class Kernel {
  readonly declaration: KernelDeclaration;
  readonly bindingNames: readonly string[];
  readonly paramNames: readonly string[];
  #digest: string | null = null;

  constructor(declaration: KernelDeclaration) {
    this.declaration = declaration;
    this.bindingNames = Object.keys(declaration.bindings);
    this.paramNames = Object.keys(declaration.params);
  }

  get name(): string {
    return this.declaration.name;
  }

  /** Bytes of the uniform block, a multiple of 16. */
  get paramBytes(): number {
    return 16 * Math.ceil(this.paramNames.length / 4);
  }

  /** Changes with any text that the shader is made of. */
  get digest(): string {
    const { library, storage, source } = this.declaration;
    return this.#digest ??= createHash("sha256").update(JSON.stringify([library, storage, source])).digest(
      "hex",
    );
  }

  /** The WGSL that is compiled for a set of constants. */
  text(constants: Constants): string {
    const { library = [], storage = {}, source } = this.declaration;
    const conversions = Object.entries(storage).map(([name, by]) =>
      by[(constants[name] ?? "f32") as StorageKind]!
    );
    const values = Object.entries(constants).filter(([name]) => !(name in storage));
    return unroll(specialise([...conversions, ...library, source].join("\n"), Object.fromEntries(values)));
  }

  /** The uniform block's bytes; every declared parameter must be given, and no other. */
  packParams(values: Readonly<Record<string, number>>): ArrayBuffer {
    const view = new DataView(new ArrayBuffer(this.paramBytes));
    const given = Object.keys(values);
    const stray = given.find((name) => !(name in this.declaration.params));
    if (stray || given.length !== this.paramNames.length) {
      throw new TypeError(`Cannot run "${this.name}": params [${given}] given, [${this.paramNames}] wanted`);
    }
    this.paramNames.forEach((name, i) => {
      const value = values[name]!;
      const type = this.declaration.params[name];
      const inRange = type === "f32" ||
        Number.isInteger(value) &&
          (type === "u32" ? value >= 0 && value < 2 ** 32 : Math.abs(value) < 2 ** 31);
      if (!inRange) {
        throw new RangeError(`Cannot run "${this.name}": param "${name}" is ${value}, ${type} wanted`);
      }
      if (type === "f32") view.setFloat32(4 * i, value, true);
      else if (type === "u32") view.setUint32(4 * i, value, true);
      else view.setInt32(4 * i, value, true);
    });
    return view.buffer;
  }
}

/** Declares a kernel. Nothing is compiled before it is used. */
export function defineKernel(declaration: KernelDeclaration): Kernel {
  return new Kernel(declaration);
}

export interface CompiledKernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

const compiled = new WeakMap<Gpu, Map<string, CompiledKernel>>();

/** The pipeline for a kernel and constants, compiled once per device. Throws `SyntaxError` with the shader's lines. */
export async function compile(gpu: Gpu, kernel: Kernel, constants: Constants = {}): Promise<CompiledKernel> {
  let cache = compiled.get(gpu);
  if (!cache) compiled.set(gpu, cache = new Map());
  const key = variantName(kernel, constants);
  let found = cache.get(key);
  if (!found) cache.set(key, found = await build(gpu, kernel, constants));
  return found;
}

/** Kernel name with its constants, for labels and messages. */
export function variantName(kernel: Kernel, constants: Constants): string {
  const parts = Object.entries(constants).map(([k, v]) => `${k}=${v}`);
  return parts.length ? `${kernel.name}[${parts.join(",")}]` : kernel.name;
}

async function build(gpu: Gpu, kernel: Kernel, constants: Constants): Promise<CompiledKernel> {
  const label = variantName(kernel, constants);
  const code = kernel.text(constants);
  const { device } = gpu;
  const entries: GPUBindGroupLayoutEntry[] = kernel.bindingNames.map((name, binding) => ({
    binding,
    visibility: GPUShaderStage.COMPUTE,
    ...bindingType(kernel, name, constants),
  }));
  if (kernel.paramNames.length) {
    entries.push({
      binding: entries.length,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: "uniform" },
    });
  }
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code, label });
  const { messages } = await gpu.orLost(module.getCompilationInfo());
  const error = messages.find((m) => m.type === "error");
  const moduleError = await gpu.orLost(device.popErrorScope());
  if (error || moduleError) {
    await gpu.done(); // a lost device compiles nothing, and is the better reason
    throw new SyntaxError(`Cannot compile ${label}: ${describe(code, error) ?? moduleError?.message}`);
  }
  return await gpu.scoped(`build pipeline ${label}`, () => {
    const layout = device.createBindGroupLayout({ entries, label });
    const pipeline = device.createComputePipeline({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
      label,
    });
    return { pipeline, layout };
  });
}

function bindingType(kernel: Kernel, name: string, constants: Constants): Partial<GPUBindGroupLayoutEntry> {
  const { bindings, storage = {} } = kernel.declaration;
  const [dtype, texture] = name in storage ? String(constants[name] ?? "f32").split("_") : [];
  if (texture) {
    const access = bindings[name] === "read" ? "read-only" : "write-only";
    return { storageTexture: { access, format: TEXTURE_FORMATS[dtype as DType] } };
  }
  return { buffer: { type: bindings[name] === "read" ? "read-only-storage" : "storage" } };
}

function describe(code: string, message: GPUCompilationMessage | undefined): string | undefined {
  if (!message) return undefined;
  const lines = code.split("\n").slice(Math.max(0, message.lineNum - 2), message.lineNum + 1);
  return `${message.lineNum}:${message.linePos} ${message.message}\n${
    lines.map((l) => `  | ${l}`).join("\n")
  }`;
}
