/** Names of today's diffusers → names that older checkpoints hold, for the layers of a VAE's attention. */
const OLD_VAE_ATTENTION: ReadonlyMap<string, string> = new Map([
  ["to_q", "query"],
  ["to_k", "key"],
  ["to_v", "value"],
  ["to_out.0", "proj_attn"],
]);

const NEW_VAE_ATTENTION: ReadonlyMap<string, string> = new Map(
  Array.from(OLD_VAE_ATTENTION, ([today, older]) => [older, today]),
);

// The UNet's layers lie deeper (attentions.N.transformer_blocks...) and were never renamed.
const ATTENTION = /^(.*\battentions\.\d+)\.(\w+(?:\.0)?)\.(weight|bias)$/;

/** What older diffusers called the tensor `name`, or undefined if its name never changed. */
export function olderName(name: string): string | undefined {
  return renamed(name, OLD_VAE_ATTENTION);
}

/** What diffusers calls the tensor `name` of an older checkpoint today, or undefined if its name never changed. */
export function todaysName(name: string): string | undefined {
  return renamed(name, NEW_VAE_ATTENTION);
}

function renamed(name: string, table: ReadonlyMap<string, string>): string | undefined {
  const [, path, layer, kind] = ATTENTION.exec(name) ?? [];
  const other = layer === undefined ? undefined : table.get(layer);
  return other === undefined ? undefined : `${path}.${other}.${kind}`;
}
