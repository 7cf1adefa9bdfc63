import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openOutput } from "../../src/cli/output_folder.ts";
import { listFrames } from "../../src/media/frame_folder.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { copyModel } from "./edited_model.ts";
import { CLI_TASKS, runCli, runDeno, type Task, taskArgs } from "./run_cli.ts";

const PACKAGES = fileURLToPath(new URL("../../node_modules", import.meta.url));
const MODEL = fileURLToPath(new URL("../../weights/nano", import.meta.url));
const PICTURE = fileURLToPath(new URL("../media/pngsuite/basn2c08.png", import.meta.url));

/** Flags that name what is allowed; what stands beside them in a task takes rights away. */
const ALLOW = /^--allow-/;

Deno.test("every task of the command line forbids prompts, remote code, downloads and changes to the lock file", () => {
  for (const task of CLI_TASKS) {
    const flags = taskArgs(task).slice(1, -1);
    deepStrictEqual(
      flags.filter((flag) => !ALLOW.test(flag)),
      ["--no-prompt", "--no-remote", "--cached-only", "--frozen"],
      task,
    );
    for (const flag of flags.filter((flag) => ALLOW.test(flag))) {
      const isKnown = /^--allow-(read|write|env=.+|read=.+|sys=statfs)$/.test(flag);
      ok(isKnown || (task === "fetch" && flag === "--allow-net"), `${task}: ${flag}`);
    }
  }
});

Deno.test("every command refuses to start without any one of its task's permissions, and names it", () =>
  withTempDir(async (dir) => {
    const input = await makeInput(dir);
    const commands = {
      upscale: ["upscale", "-i", input, "-o", join(dir, "out"), "--allow-cpu"],
      plan: ["plan", "-i", input, "--allow-cpu"],
      fetch: ["fetch", "owner/name"],
      convert: ["convert", "-m", MODEL, "-o", join(dir, "out")],
      demo: ["demo"],
      compare: ["compare", "-i", input, "-r", input],
      doctor: ["doctor", "--allow-cpu"],
    };
    deepStrictEqual(Object.keys(commands).sort(), CLI_TASKS.toSorted());
    let removed = 0;
    for (const [task, command] of Object.entries(commands)) {
      const args = taskArgs(task as Task);
      for (const [flag, reduced] of withoutEach(args)) {
        const { code, stdout, stderr } = await runDeno(...reduced, ...command);
        strictEqual(code, 77, `${task} without ${flag}: ${stderr}`);
        strictEqual(stdout, "");
        const [kind, value = ""] = flag.split("=");
        ok(stderr.startsWith("Error: Cannot start without --allow-"), stderr);
        ok(stderr.includes(kind!) && stderr.includes(value), stderr);
      }
      removed += withoutEach(args).length;
    }
    // upscale: read, write, seven variables, free space; demo: three variables less; plan: read, six variables; compare: read, a
    // variable; doctor: four paths and three variables; fetch: read, write, network, eight variables, free space; convert: read,
    // write, five variables, free space.
    strictEqual(removed, 10 + 7 + 7 + 2 + 7 + 12 + 8);
    strictEqual(await names(dir), "in");
  }));

Deno.test("upscale works with exactly what its worker is granted, and without any one of it ends with a documented code", () =>
  withTempDir(async (dir) => {
    const input = await makeInput(dir), output = join(dir, "out");
    const command = ["upscale", "-i", input, "-o", output, "--allow-cpu", "--tuning", "off"];
    const cases: [kind: "read" | "write", path: string, code: number, message: string][] = [
      ["read", input, 65, `Cannot read "${input}": permission to read it is missing`],
      ["read", output, 77, `Requires read access to "${output}`],
      ["read", MODEL, 77, `Requires read access to "${MODEL}`],
      [
        "read",
        PACKAGES,
        65,
        `Cannot read "${join(input, "frame.png")}": Cannot load the PNG decoder: Requires read`,
      ],
      ["write", output, 73, `Cannot write to folder "${output}": Requires write access`],
    ];
    for (const [kind, path, expected, message] of cases) {
      const { code, stderr } = await runDeno(
        "run",
        "-A",
        "tests/cli/narrowed_main.ts",
        kind,
        path,
        ...command,
      );
      strictEqual(code, expected, stderr);
      ok(stderr.includes(`Error: ${message}`), stderr);
    }
    const { code, stderr } = await runCli(...command);
    strictEqual(code, 0, stderr);
    strictEqual(await names(output), "frame.png");
  }));

Deno.test("compare needs no more than one picture of a folder", () =>
  withTempDir(async (dir) => {
    const picture = join(await makeInput(dir), "frame.png");
    const compared = await runCli("compare", "-i", picture, "-r", picture);
    strictEqual(compared.code, 0, compared.stderr);
  }));

Deno.test("upscale reads a model behind a link, and one that a hub cache keeps as links", () =>
  withTempDir(async (dir) => {
    const input = await makeInput(dir), link = join(dir, "link");
    const blobs = join(dir, "hub", "blobs"), snapshot = join(dir, "hub", "snapshots", "main");
    await copyModel(snapshot);
    await Deno.mkdir(blobs);
    let count = 0;
    for await (const part of Deno.readDir(snapshot)) {
      if (!part.isDirectory) continue;
      for await (const { name } of Deno.readDir(join(snapshot, part.name))) {
        const path = join(snapshot, part.name, name), blob = join(blobs, `${count++}`);
        await Deno.rename(path, blob);
        await Deno.symlink(blob, path);
      }
    }
    ok(count > 0);
    await Deno.symlink(snapshot, link);
    const args = ["upscale", "-i", input, "-m", link, "-o", join(dir, "out"), "--allow-cpu"];
    const { code, stderr } = await runCli(...args);
    strictEqual(code, 0, stderr);
  }));

Deno.test("a command's thread reads, writes, sends, starts and loads nothing but what it was given; the other thread nothing", () =>
  withTempDir(async (dir) => {
    const input = await makeInput(dir), output = join(dir, "out");
    await Deno.mkdir(`${input}_other`);
    await Deno.mkdir(join(dir, "other"));
    // With all permissions, so that only the confinement can be what refuses.
    const probe = ["run", "-A", "tests/cli/probe_main.ts"];
    const { code, stdout, stderr } = await runDeno(...probe, "upscale", "-i", input, "-o", output);
    strictEqual(code, 0, stderr);
    const { main, worker } = JSON.parse(stdout);
    deepStrictEqual(main, Array(8).fill("prompt"));
    deepStrictEqual(worker, {
      "list input": "done",
      "make output": "done",
      "write output": "done",
      "rename in output": "done",
      "use WebGPU": "done",
      "read a system file": "NotCapable",
      "read the program": "NotCapable",
      "read up from input": "NotCapable",
      "read a folder with the same beginning": "NotCapable",
      "write input": "NotCapable",
      "write outside": "NotCapable",
      "write up from output": "NotCapable",
      "move out of output": "NotCapable",
      "link out of output": "NotCapable",
      "use the network": "NotCapable",
      "listen": "NotCapable",
      "start a process": "NotCapable",
      "load a library": "NotCapable",
      "read the environment": "NotCapable",
      "ask for the host's name": "NotCapable",
      "import remote code": "TypeError: Requires import access",
      "import local code": "TypeError: Requires read access",
      "end another process": "NotCapable",
    });
    strictEqual(await names(dir), "in in_other other out");
  }));

Deno.test("upscale refuses symbolic links where it would write, and leaves alone what they lead to", () =>
  withTempDir(async (dir) => {
    const input = await makeInput(dir), { files } = await listFrames(input);
    const elsewhere = join(dir, "elsewhere");
    const job = ".dgaf-vsr-job";
    const places = [
      "frame.png",
      job,
      ...["lock", "manifest.json", "done.sha256", "flows", "latents"].map((name) => join(job, name)),
    ];
    for (const place of places) {
      for (const kind of ["file", "folder", "nothing"]) {
        const output = join(dir, "out");
        await Deno.mkdir(join(output, place, ".."), { recursive: true });
        if (kind === "file") await Deno.writeTextFile(elsewhere, "mine");
        if (kind === "folder") {
          await Deno.mkdir(elsewhere);
          await Deno.writeTextFile(join(elsewhere, "file"), "mine");
        }
        await Deno.symlink(elsewhere, join(output, place));
        await rejects(
          openOutput(output, { input, files, overwrite: true }).then((job) => job[Symbol.asyncDispose]()),
          ({ message, exitCode }: Error & { exitCode?: number }) =>
            exitCode === 73 &&
            /: it is a symbolic link.*Remove it|symbolic link, wanted none; remove it/.test(message),
          `${place}, a link to a ${kind}`,
        );
        if (kind === "file") strictEqual(await Deno.readTextFile(elsewhere), "mine");
        if (kind === "folder") strictEqual(await Deno.readTextFile(join(elsewhere, "file")), "mine");
        if (kind === "nothing") strictEqual(await names(dir), "in out");
        else await Deno.remove(elsewhere, { recursive: true });
        await Deno.remove(output, { recursive: true });
      }
    }
  }));

/** A folder with one picture. */
async function makeInput(dir: string): Promise<string> {
  const input = join(dir, "in");
  await Deno.mkdir(input);
  await Deno.copyFile(PICTURE, join(input, "frame.png"));
  return input;
}

/** `args` without one permission, for each; lists are taken apart. */
function withoutEach(args: readonly string[]): [flag: string, args: string[]][] {
  return args.flatMap((arg, i) => {
    if (!ALLOW.test(arg)) return [];
    const [flag, list] = arg.split("=") as [string, string | undefined];
    const replaced = (...by: string[]) => [...args.slice(0, i), ...by, ...args.slice(i + 1)];
    const values = list?.split(",") ?? [];
    if (values.length < 2) return [[arg, replaced()] as [string, string[]]];
    return values.map((value): [string, string[]] => [
      `${flag}=${value}`,
      replaced(`${flag}=${values.filter((other) => other !== value).join(",")}`),
    ]);
  });
}

async function names(folder: string): Promise<string> {
  return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort().join(" ");
}
