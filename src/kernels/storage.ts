import operandF32 from "../../wgsl/lib/operand_f32.wgsl" with { type: "text" };
import operandF32Texture from "../../wgsl/lib/operand_f32_texture.wgsl" with { type: "text" };
import weightF16 from "../../wgsl/lib/weight_f16.wgsl" with { type: "text" };
import weightF16Texture from "../../wgsl/lib/weight_f16_texture.wgsl" with { type: "text" };
import weightF32 from "../../wgsl/lib/weight_f32.wgsl" with { type: "text" };
import weightF32Texture from "../../wgsl/lib/weight_f32_texture.wgsl" with { type: "text" };

/** Shader libraries that declare the binding `weight` and read it: `load_weight()`. */
export const weightStorage = {
  f32: weightF32,
  f16: weightF16,
  f32_texture: weightF32Texture,
  f16_texture: weightF16Texture,
} as const;

/** Shader libraries that declare the binding `operand` and write it: `store_operand()`. */
export const operandStorage = { f32: operandF32, f32_texture: operandF32Texture } as const;
