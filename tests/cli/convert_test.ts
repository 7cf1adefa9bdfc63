import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { writeSafetensors } from "../../src/checkpoint/write_safetensors.ts";
import { convert } from "../../src/cli/convert.ts";
import { CliError } from "../../src/cli/exit_codes.ts";
import { Reporter } from "../../src/cli/progress.ts";
import { encodePrompts } from "../../src/vsr/encode_prompts.ts";
import { hashFile } from "../../src/vsr/hash_file.ts";
import { checkNetworks } from "../../src/vsr/networks.ts";
import { checkpointLayout } from "../../tools/checkpoint_layouts.ts";
import { generateCheckpoint, tensorShapes } from "../../tools/generate_checkpoint.ts";
import { gpuTest } from "../_gpu_test.ts";
import { nanoFlowAsTorchFile } from "../checkpoint/_nano_flow.ts";
import { weight } from "../generated.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { EMPTY_PROMPT, withEncoderInstead, withEncoderToo } from "../vsr/_text_encoder_folder.ts";
import { copyModel, fillTensor } from "./edited_model.ts";
import { makeClip } from "./make_clip.ts";
import { runCli } from "./run_cli.ts";

const NANO = fileURLToPath(new URL("../../weights/nano", import.meta.url));
const INDEX = "model_index.json";
const UNET = "unet/diffusion_pytorch_model.safetensors";
const WEIGHTS = /model\.safetensors$/;
const NANO_FILES = [
  "dgafnet/config.json",
  "dgafnet/diffusion_pytorch_model.safetensors",
  "flow/config.json",
  "flow/diffusion_pytorch_model.safetensors",
  INDEX,
  "scheduler/scheduler_config.json",
  "text_encoder/empty_prompt.safetensors",
  "unet/config.json",
  UNET,
  "vae/config.json",
  "vae/diffusion_pytorch_model.safetensors",
];

Deno.test("convert writes a model of half the size that gives the same frames with --precision f16", () =>
  withTempDir(async (dir) => {
    const input = join(dir, "in"), model = join(dir, "model"), output = join(dir, "converted");
    await makeClip(input, { width: 16, height: 12, count: 2 });
    await generateCheckpoint(model, { layout: "dgaf", precision: "f32", encoder: false, small: true });
    const { code, stdout, stderr } = await runCli("convert", "-m", model, "-o", output, "--progress", "json");
    strictEqual(code, 0, stderr);
    strictEqual(stdout, "");
    const events = stderr.trim().split("\n").map((line) => JSON.parse(line));
    deepStrictEqual(events.map(({ event }) => event), [
      ...Array(events.length - 1).fill("progress"),
      "converted",
    ]);
    strictEqual(events.at(-1).output, output);
    const files = await filesIn(output);
    deepStrictEqual(files, await filesIn(model));
    const [before, after] = [await weightBytes(model), await weightBytes(output)];
    ok(after < 0.55 * before, `${after} of ${before}`);
    for (const name of files.filter((name) => !WEIGHTS.test(name))) {
      ok(await areSame(join(output, name), join(model, name)), name);
    }

    async function upscaled(folder: string): Promise<string[]> {
      const out = `${folder}_out`;
      const args = [
        "-i",
        input,
        "-m",
        folder,
        "-o",
        out,
        "--allow-cpu",
        "--steps",
        "2",
        "--precision",
        "f16",
      ];
      const { code, stderr } = await runCli("upscale", ...args);
      strictEqual(code, 0, stderr);
      return [1, 2].map((i) => join(out, `frame_000${i}.png`));
    }
    const [expected, frames] = [await upscaled(model), await upscaled(output)];
    for (const [i, frame] of frames.entries()) ok(await areSame(frame, expected[i]!), frame);
  }));

Deno.test("convert gives what it wrote the same bytes again", () =>
  withTempDir(async (dir) => {
    const first = join(dir, "first"), second = join(dir, "second");
    await converted(NANO, first);
    await converted(first, second);
    deepStrictEqual(await filesIn(first), NANO_FILES);
    deepStrictEqual(await filesIn(second), NANO_FILES);
    for (const name of NANO_FILES) ok(await areSame(join(second, name), join(first, name)), name);
  }));

Deno.test("convert takes a variant, a flow in a .pth file, and a temporal module kept elsewhere", () =>
  withTempDir(async (dir) => {
    const model = await copyModel(join(dir, "model")), flow = join(dir, "raft"), output = join(dir, "out");
    await Deno.rename(join(model, UNET), join(model, UNET.replace("model.", "model.fp16.")));
    await Deno.mkdir(flow);
    await Deno.copyFile(join(NANO, "flow/config.json"), join(flow, "config.json"));
    const { tensors, bytes } = await nanoFlowAsTorchFile();
    await Deno.writeFile(join(flow, "raft.pth"), bytes);
    const temporal = join(dir, "module"), expected = join(dir, "expected");
    await Deno.rename(join(model, "dgafnet"), temporal);
    await converted(model, output, { flow, temporal });
    await converted(NANO, expected);
    deepStrictEqual(await filesIn(output), NANO_FILES);
    for (const name of NANO_FILES.filter((name) => name.startsWith("dgafnet/"))) {
      ok(await areSame(join(output, name), join(expected, name)), name);
    }
    using weights = await (await openModelFolder(output)).openWeights("flow");
    strictEqual([...weights.names()].length, tensors.size);
    for (const [name, { data }] of tensors) deepStrictEqual(await weights.read(name), data);
  }));

Deno.test("convert puts another kind of temporal module in the place of the model's, with its own strength", () =>
  withTempDir(async (dir) => {
    const model = join(dir, "model"), other = join(dir, "other"), output = join(dir, "out");
    const options = { precision: "f16", encoder: false, small: true } as const;
    await generateCheckpoint(model, { layout: "dgaf", ...options });
    await generateCheckpoint(other, { layout: "stablevsr", ...options });
    const index = JSON.parse(await Deno.readTextFile(join(model, INDEX)));
    await Deno.writeTextFile(join(model, INDEX), JSON.stringify({ ...index, conditioning_scale: 0.5 }));
    const temporal = join(other, "controlnet");
    await converted(model, output, { temporal });

    const { configs } = await openModelFolder(output);
    deepStrictEqual(configs, (await openModelFolder(model, { temporal })).configs);
    strictEqual(configs.index.conditioning_scale, 1);
    const { dgafnet: _, ...others } = index;
    deepStrictEqual(JSON.parse(await Deno.readTextFile(join(output, INDEX))), {
      ...others,
      controlnet: ["diffusers", "ControlNetModel"],
      conditioning_scale: 1,
    });
    const files = await filesIn(output);
    ok(files.includes("controlnet/diffusion_pytorch_model.safetensors"));
    ok(!files.some((name) => name.startsWith("dgafnet/")));
  }));

gpuTest(
  "convert writes a ControlNet, a text encoder with its tokenizer, and the sizes of torchvision's RAFT",
  (gpu) =>
    withTempDir(async (dir) => {
      const model = join(dir, "model"), output = join(dir, "out");
      await generateCheckpoint(model, { layout: "stablevsr", precision: "f32", encoder: true, small: true });
      const flow = join(dir, "raft_large.safetensors");
      const shapes = tensorShapes(checkpointLayout("dgaf", { small: false, encoder: false }).parts["flow"]!);
      const values = ReadableStream.from([...shapes].map(([name, shape]) => weight(`flow.${name}`, shape)));
      await Deno.writeFile(flow, ReadableStream.from(writeSafetensors(shapes, values)));
      await converted(model, output, { flow });
      const folder = await openModelFolder(output);
      await checkNetworks(gpu, folder);
      const { data, shape } = await folder.readEmptyPrompt();
      const encoder = (await openModelFolder(model)).textEncoder!;
      const [expected] = await encodePrompts(gpu, encoder, { prompts: [""], precision: "f16" });
      deepStrictEqual({ data, shape }, expected);
      strictEqual(folder.configs.flow!.flow_head_hidden_size, 256);
      for (const part of ["unet", "controlnet", "flow"] as const) {
        using weights = await folder.openWeights(part);
        const dtypes = new Set(Array.from(weights.names(), (name) => weights.dtype(name)));
        deepStrictEqual(dtypes, new Set(["F32", "F16"]));
      }
      const names = (await filesIn(output)).filter((name) => /^(text_encoder|tokenizer)/.test(name));
      deepStrictEqual(names, [
        "text_encoder/config.json",
        "text_encoder/empty_prompt.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
      ]);
    }),
);

Deno.test("convert keeps both, the embedding of the empty prompt and the text encoder", () =>
  withEncoderToo((model) =>
    withTempDir(async (dir) => {
      const output = join(dir, "out");
      await converted(model, output);
      const { hasEmptyPrompt, textEncoder } = await openModelFolder(output);
      deepStrictEqual([hasEmptyPrompt, textEncoder?.config.hidden_size], [true, 64]);
    })
  ));

Deno.test("convert says that the empty prompt is not encoded where there is no adapter, and leaves no old one", () =>
  withEncoderInstead((model) =>
    withTempDir(async (dir) => {
      const output = join(dir, "out"), prompt = join(output, EMPTY_PROMPT);
      await converted(model, output);
      strictEqual((await Deno.stat(prompt)).isFile, true);
      const { requestAdapter } = navigator.gpu, lines: string[] = [];
      navigator.gpu.requestAdapter = () => Promise.resolve(null);
      try {
        await converted(model, output, { overwrite: true, write: (text) => lines.push(text) });
      } finally {
        navigator.gpu.requestAdapter = requestAdapter;
      }
      const warning = lines.find((line) => line.startsWith("Warning: "));
      match(
        warning!,
        /^Warning: the empty prompt is not encoded, so upscale .*: Cannot find a GPU adapter: /,
      );
      await rejects(Deno.stat(prompt), Deno.errors.NotFound);
      strictEqual((await openModelFolder(output)).hasEmptyPrompt, false);
    })
  ));

Deno.test("convert refuses an output that holds a model, unless told to overwrite it, and one that holds other parts", () =>
  withTempDir(async (dir) => {
    const output = join(dir, "out"), vae = join(output, "vae");
    await Deno.mkdir(vae, { recursive: true });
    await Deno.writeTextFile(join(vae, "config.json"), "mine");
    await Deno.writeTextFile(join(output, "README.md"), "mine");
    await refused(
      converted(NANO, output),
      /it holds "vae\/config\.json"\. Pass --overwrite to replace the model/,
    );
    strictEqual(await Deno.readTextFile(join(vae, "config.json")), "mine");
    await converted(NANO, output, { overwrite: true });
    deepStrictEqual(await filesIn(output), ["README.md", ...NANO_FILES].sort());

    await Deno.mkdir(join(output, "controlnet"));
    await Deno.writeTextFile(join(output, "controlnet/config.json"), "{}");
    const other =
      /it holds "controlnet\/config\.json", which is no part of the model\. Remove that, or choose/;
    await refused(converted(NANO, output, { overwrite: true }), other);
  }));

Deno.test("convert writes neither over what it reads nor through links", () =>
  withTempDir(async (dir) => {
    const model = await copyModel(join(dir, "model")),
      output = join(dir, "out"),
      elsewhere = join(dir, "elsewhere");
    const before = await hashFile(join(model, UNET));
    for (const folder of [model, dir]) {
      await refused(
        converted(model, folder, { overwrite: true }),
        /which is read, lies in it\. Choose another one/,
      );
    }
    const inside = /it lies in ".*model", which is read\. Choose another one/;
    await refused(converted(model, join(model, "half"), { overwrite: true }), inside);
    deepStrictEqual(await filesIn(model), await filesIn(NANO));
    ok(![...Deno.readDirSync(model)].some(({ name }) => name === "half"));
    await Deno.mkdir(join(model, "half"));
    await Deno.symlink(join(model, "half"), join(dir, "link"));
    await refused(converted(model, join(dir, "link")), inside);
    strictEqual(await hashFile(join(model, UNET)), before);
    await Deno.mkdir(output);
    await Deno.mkdir(elsewhere);
    await Deno.symlink(elsewhere, join(output, "unet"));
    await refused(
      converted(model, output, { overwrite: true }),
      /"unet" is a symbolic link\. Remove it, or choose/,
    );
    deepStrictEqual(await filesIn(elsewhere), []);
    await refused(converted(model, join(model, UNET)), /Cannot write to folder ".*": .*Choose another one/);
  }));

Deno.test("convert leaves no model when a weight is broken or a signal stops it, and says which", () =>
  withTempDir(async (dir) => {
    const model = await copyModel(join(dir, "model"));
    await fillTensor(model, { part: "vae", tensor: "decoder.conv_out.bias", byte: 0xff });
    const broken = join(dir, "broken");
    await rejects(converted(model, broken), (error: Error) => {
      ok(error instanceof CheckpointError);
      ok(
        /^Cannot read tensor "decoder\.conv_out\.bias" of "vae\/.*: element 0 is NaN/.test(error.message),
        error.message,
      );
      return true;
    });
    ok(!(await filesIn(broken)).includes(INDEX));

    const stopped = join(dir, "stopped"), abort = new AbortController();
    await converted(NANO, stopped);
    const write = () => abort.abort(new CliError(130, "Stopped by SIGINT")); // at the first tensor
    await rejects(converted(NANO, stopped, { overwrite: true, write, signal: abort.signal }), {
      exitCode: 130,
      message: "Stopped by SIGINT: the output is not complete; run the same command again with --overwrite",
    });
    ok(!(await filesIn(stopped)).includes(INDEX));
    await rejects(openModelFolder(stopped), /model_index\.json/);
  }));

interface Settings {
  readonly flow?: string;
  readonly temporal?: string;
  readonly overwrite?: boolean;
  readonly signal?: AbortSignal;
  readonly write?: (text: string) => void;
}

/** Converts in this thread, as the command does. */
async function converted(model: string, output: string, settings: Settings = {}): Promise<void> {
  const { flow, temporal, overwrite = false } = settings;
  const { signal = new AbortController().signal, write = ignore } = settings;
  const reporter = new Reporter("lines", { write, now: () => performance.now() });
  const command = {
    ...{ command: "convert", model, output, flow, temporal, overwrite } as const,
    ...{ precision: "f16", progress: "auto", quiet: false } as const,
  };
  await convert(command, { reporter, signal });
}

async function refused(conversion: Promise<void>, message: RegExp): Promise<void> {
  await rejects(conversion, (error: Error) => {
    ok(error instanceof CliError && error.exitCode === 73, error.stack);
    ok(message.test(error.message), error.message);
    return true;
  });
}

/** Names of all files below `folder`, sorted. */
async function filesIn(folder: string, path = ""): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(folder, path))) {
    const file = path ? `${path}/${name}` : name;
    files.push(...isDirectory ? await filesIn(folder, file) : [file]);
  }
  return files.sort();
}

/** Bytes of all weights in a model folder. */
async function weightBytes(folder: string): Promise<number> {
  const names = (await filesIn(folder)).filter((name) => WEIGHTS.test(name));
  const sizes = await Promise.all(names.map(async (name) => (await Deno.stat(join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Whether two files hold the same bytes. */
async function areSame(path: string, other: string): Promise<boolean> {
  return await hashFile(path) === await hashFile(other);
}

function ignore(): void {}
