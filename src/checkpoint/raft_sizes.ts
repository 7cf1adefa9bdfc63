import { parseRAFTConfig, type RAFTConfig } from "./raft_config.ts";
import type { WeightSource } from "./weight_source.ts";

/** What torchvision's `raft_small` sets beside the defaults, which are `raft_large`'s. */
const RAFT_SMALL = {
  feature_encoder_layers: [32, 32, 64, 96, 128],
  feature_encoder_block: "BottleneckBlock",
  context_encoder_layers: [32, 32, 64, 96, 160],
  context_encoder_block: "BottleneckBlock",
  context_encoder_norm_layer: null,
  corr_block_radius: 3,
  motion_encoder_corr_layers: [96],
  motion_encoder_flow_layers: [64, 32],
  motion_encoder_out_channels: 82,
  recurrent_block_hidden_state_size: 96,
  recurrent_block_kernel_size: [3],
  flow_head_hidden_size: 128,
  use_mask_predictor: false,
};

/**
 * The configuration of torchvision's `raft_large` or `raft_small`, told apart by two tensors that only they have
 * in these shapes; null for other weights. Whether all tensors fit shows when the network is built.
 * Source: torchvision/models/optical_flow/raft.py.
 */
export function recognizeRAFT(weights: Pick<WeightSource, "shape">): RAFTConfig | null {
  const features = weights.shape("feature_encoder.conv.weight")?.join();
  const update = weights.shape("update_block.recurrent_block.convgru1.convz.weight")?.join();
  if (features === "256,128,1,1" && update === "128,384,1,5") return parseRAFTConfig({}, "raft_large");
  if (features === "128,96,1,1" && update === "96,242,3,3") return parseRAFTConfig(RAFT_SMALL, "raft_small");
  return null;
}
