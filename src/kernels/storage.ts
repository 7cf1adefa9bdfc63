import weightF16 from "../../wgsl/lib/weight_f16.wgsl" with { type: "text" };
import weightF32 from "../../wgsl/lib/weight_f32.wgsl" with { type: "text" };

/** Shader libraries that read weights: `Weight` and `unpack_weight()`. */
export const weightStorage = { f32: weightF32, f16: weightF16 } as const;
