import { ok } from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NANO = fileURLToPath(new URL("../../weights/nano", import.meta.url));
const PARTS = {
  unet: "unet/diffusion_pytorch_model.safetensors",
  vae: "vae/diffusion_pytorch_model.safetensors",
};

/** Copies the bundled model to `folder`, over what is there, and returns `folder`. */
export async function copyModel(folder: string): Promise<string> {
  for (const path of await listFiles(NANO)) {
    await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
    await Deno.copyFile(join(NANO, path), join(folder, path));
  }
  return folder;
}

/** Replaces the first `from` in the header of a weight file by `to`, of the same length. */
export async function editHeader(
  model: string,
  { part, from, to }: { readonly part: keyof typeof PARTS; readonly from: string; readonly to: string },
): Promise<void> {
  const { path, bytes, header } = await readWeights(model, part);
  const at = header.indexOf(from);
  ok(at >= 0 && from.length === to.length, `${from} to ${to}`);
  bytes.set(new TextEncoder().encode(to), 8 + at);
  await Deno.writeFile(path, bytes);
}

/** Sets all bytes of a tensor. */
export async function fillTensor(
  model: string,
  { part, tensor, byte }: {
    readonly part: keyof typeof PARTS;
    readonly tensor: string;
    readonly byte: number;
  },
): Promise<void> {
  const { path, bytes, header } = await readWeights(model, part);
  const [from, to] = JSON.parse(header)[tensor].data_offsets;
  bytes.fill(byte, 8 + header.length + from, 8 + header.length + to);
  await Deno.writeFile(path, bytes);
}

/** A safetensors file: 8 bytes of header length, the header in ASCII JSON, data. */
async function readWeights(
  model: string,
  part: keyof typeof PARTS,
): Promise<{ path: string; bytes: Uint8Array; header: string }> {
  const path = join(model, PARTS[part]);
  const bytes = await Deno.readFile(path);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  return { path, bytes, header: new TextDecoder().decode(bytes.subarray(8, 8 + length)) };
}

async function listFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) files.push(...(await listFiles(join(folder, name))).map((path) => join(name, path)));
    else files.push(name);
  }
  return files;
}
