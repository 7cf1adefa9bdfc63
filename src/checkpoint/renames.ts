/** Names of today's diffusers → names that older checkpoints hold, for the layers of a VAE's attention. */
const OLD_VAE_ATTENTION: ReadonlyMap<string, string> = new Map([
  ["to_q", "query"],
  ["to_k", "key"],
  ["to_v", "value"],
  ["to_out.0", "proj_attn"],
]);

/** What older diffusers called the tensor `name`, or undefined if its name never changed. */
export function olderName(name: string): string | undefined {
  // The UNet's layers lie deeper (attentions.N.transformer_blocks...) and were never renamed.
  const parts = /^(.*\battentions\.\d+)\.(to_q|to_k|to_v|to_out\.0)\.(weight|bias)$/.exec(name);
  return parts === null ? undefined : `${parts[1]}.${OLD_VAE_ATTENTION.get(parts[2]!)}.${parts[3]}`;
}
