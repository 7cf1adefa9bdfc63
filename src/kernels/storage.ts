import filterF16 from "../../wgsl/lib/filter_f16.wgsl" with { type: "text" };
import filterF32 from "../../wgsl/lib/filter_f32.wgsl" with { type: "text" };
import weightF16 from "../../wgsl/lib/weight_f16.wgsl" with { type: "text" };
import weightF32 from "../../wgsl/lib/weight_f32.wgsl" with { type: "text" };

/** Shader libraries that read weights: `Weight` and `unpack_weight()`. */
export const weightStorage = { f32: weightF32, f16: weightF16 } as const;

/** Shader libraries that write Winograd filters: `Filter` and `pack_filter()`. */
export const filterStorage = { f32: filterF32, f16: filterF16 } as const;
