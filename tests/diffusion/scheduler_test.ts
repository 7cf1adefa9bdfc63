import assert from "node:assert/strict";
import type { SchedulerConfig } from "../../src/checkpoint/scheduler_config.ts";
import { Scheduler } from "../../src/diffusion/scheduler.ts";
import { assertAllClose, assertGolden } from "../_assert.ts";
import { type GoldenConfig, loadCase, maxRelOf, tensorOf } from "../golden_file.ts";
import { schedulerStep } from "../reference/scheduler_step.ts";

/** diffusers' defaults, which the goldens' configs leave out. */
const DEFAULTS: SchedulerConfig = {
  class_name: "DDPMScheduler",
  num_train_timesteps: 1000,
  beta_start: 1e-4,
  beta_end: 2e-2,
  beta_schedule: "linear",
  prediction_type: "epsilon",
  clip_sample: true,
  clip_sample_range: 1,
  timestep_spacing: "leading",
  steps_offset: 0,
  set_alpha_to_one: true,
};

Deno.test("Scheduler.alphasCumprod equals golden scheduler_alphas", () => {
  const golden = loadCase("scheduler_alphas");
  for (const beta_schedule of ["linear", "scaled_linear"] as const) {
    const expected = tensorOf(golden, `f64.${beta_schedule}`).data;
    // 1,000 factors, each with a rounding or two of its own.
    assertAllClose(new Scheduler({ ...DEFAULTS, beta_schedule }).alphasCumprod, expected, { rtol: 1e-14 });
  }
});

Deno.test("Scheduler.timesteps() equals golden scheduler_timesteps", () => {
  const golden = loadCase("scheduler_timesteps");
  assert.equal(golden.tensors.size, 36);
  for (const [key, { data }] of golden.tensors) {
    const [, spacing, offset, steps] = /^(\w+)\.offset(\d+)\.s(\d+)$/.exec(key)!;
    const timestep_spacing = spacing as SchedulerConfig["timestep_spacing"];
    const scheduler = new Scheduler({ ...DEFAULTS, timestep_spacing, steps_offset: Number(offset) });
    assert.deepEqual(scheduler.timesteps(Number(steps)), Array.from(data), key);
  }
});

Deno.test("Scheduler.timesteps() rounds near ties as numpy does", () => {
  // Step 3 of 48 lies at 937.5, an even tie up; numpy's arange arrives at 937.4999999999999.
  const trailing = new Scheduler({ ...DEFAULTS, timestep_spacing: "trailing" });
  assert.deepEqual(trailing.timesteps(48).slice(0, 4), [999, 978, 957, 936]);
  // The middle of 27 lies at 499.5, an even tie up; numpy's linspace arrives at 499.49999999999994.
  const linspace = new Scheduler({ ...DEFAULTS, timestep_spacing: "linspace" });
  assert.equal(linspace.timesteps(27)[13], 499);
});

Deno.test("Scheduler.timesteps() gives all of the schedule when asked for as many steps", () => {
  const all = Array.from({ length: 1000 }, (_, i) => 999 - i);
  for (const timestep_spacing of ["leading", "linspace", "trailing"] as const) {
    assert.deepEqual(new Scheduler({ ...DEFAULTS, timestep_spacing }).timesteps(1000), all);
  }
});

Deno.test("Scheduler.timesteps() stays descending and in range for every number of steps", () => {
  for (const timestep_spacing of ["leading", "linspace", "trailing"] as const) {
    const scheduler = new Scheduler({ ...DEFAULTS, timestep_spacing });
    for (let steps = 1; steps <= 1000; steps++) {
      const timesteps = scheduler.timesteps(steps);
      assert.equal(timesteps.length, steps);
      for (let i = 1; i < steps; i++) assert.ok(timesteps[i]! < timesteps[i - 1]!);
      assert.ok(timesteps[0]! <= 999 && timesteps[steps - 1]! >= 0);
    }
  }
});

Deno.test("Scheduler.step() equals every run of golden scheduler_step", () => {
  const golden = loadCase("scheduler_step");
  const runs: GoldenConfig[] = golden.case.options!.runs;
  assert.equal(runs.length, 61);
  const inputs = {
    sample: tensorOf(golden, "x").data,
    output: tensorOf(golden, "output").data,
    noise: tensorOf(golden, "noise").data,
  };
  for (const { id, scheduler: kind, config, steps, index, eta, timestep } of runs) {
    const scheduler = new Scheduler({ ...DEFAULTS, ...config, class_name: `${kind}Scheduler` });
    const timesteps = scheduler.timesteps(steps);
    assert.equal(timesteps[index], timestep);
    const actual = schedulerStep(scheduler.step(timesteps, index, { eta }), inputs);
    for (const name of ["x0", "prev"] as const) {
      const key = `${name}.${id}`;
      assertGolden(actual[name], tensorOf(golden, key).data, maxRelOf(golden, key), key);
    }
  }
});

Deno.test("Scheduler.step() recovers the clean sample and the noise from a perfect output", () => {
  const sample = 0.75;
  const noise = -1.25;
  for (const prediction_type of ["epsilon", "v_prediction", "sample"] as const) {
    const scheduler = new Scheduler({
      ...DEFAULTS,
      class_name: "DDIMScheduler",
      prediction_type,
      clip_sample: false,
    });
    const timesteps = scheduler.timesteps(10);
    const alpha = scheduler.alphasCumprod[500]!;
    const alphaPrevious = scheduler.alphasCumprod[400]!;
    const z = Math.sqrt(alpha) * sample + Math.sqrt(1 - alpha) * noise;
    const v = Math.sqrt(alpha) * noise - Math.sqrt(1 - alpha) * sample;
    const output = { epsilon: noise, v_prediction: v, sample }[prediction_type];
    const coefficients = scheduler.step(timesteps, 4);
    const { x0, prev } = schedulerStep(coefficients, { sample: [z], output: [output], noise: [0] });
    const expected = Math.sqrt(alphaPrevious) * sample + Math.sqrt(1 - alphaPrevious) * noise;
    assert.equal(coefficients.clip, Infinity);
    assert.equal(coefficients.prevFromNoise, 0);
    assertAllClose(x0, [sample], { rtol: 1e-12 });
    assertAllClose(prev, [expected], { rtol: 1e-12 });
  }
});

Deno.test("Scheduler.step() of DDIM with eta 1 has the variance of a DDPM step", () => {
  const ddpm = new Scheduler(DEFAULTS);
  const ddim = new Scheduler({ ...DEFAULTS, class_name: "DDIMScheduler" });
  const timesteps = ddpm.timesteps(10);
  for (let index = 0; index < 9; index++) {
    const noise = ddpm.step(timesteps, index).prevFromNoise;
    assertAllClose([ddim.step(timesteps, index, { eta: 1 }).prevFromNoise], [noise], { rtol: 1e-12 });
  }
});

Deno.test("Scheduler.step() refuses an index outside the list and a wrong eta", () => {
  const ddpm = new Scheduler(DEFAULTS);
  const ddim = new Scheduler({ ...DEFAULTS, class_name: "DDIMScheduler" });
  const timesteps = ddpm.timesteps(4);
  for (const index of [-1, 4, 0.5, NaN]) {
    assert.throws(() => ddpm.step(timesteps, index), RangeError);
  }
  for (const timestep of [-1, 1000, 0.5, NaN]) {
    assert.throws(() => ddpm.step([timestep], 0), RangeError);
    assert.throws(() => ddpm.step([500, timestep], 0), RangeError);
  }
  assert.throws(() => ddpm.step(timesteps, 0, { eta: 0.5 }), RangeError);
  for (const eta of [-0.1, 1.1, NaN]) assert.throws(() => ddim.step(timesteps, 0, { eta }), RangeError);
});

Deno.test("Scheduler.timesteps() refuses numbers of steps that the schedule does not have", () => {
  const scheduler = new Scheduler(DEFAULTS);
  for (const steps of [0, -1, 1001, 2.5, NaN, Infinity]) {
    assert.throws(() => scheduler.timesteps(steps), RangeError);
  }
  const offset = new Scheduler({ ...DEFAULTS, steps_offset: 1 });
  assert.equal(offset.timesteps(500)[0], 999);
  assert.throws(() => offset.timesteps(1000), /begin at timestep 1000, wanted less than 1000/);
});

Deno.test("Scheduler refuses a schedule that is not one", () => {
  for (
    const wrong of [{ num_train_timesteps: 0 }, { num_train_timesteps: 1.5 }, { beta_start: 0 }, {
      steps_offset: -1,
    }]
  ) {
    assert.throws(() => new Scheduler({ ...DEFAULTS, ...wrong }), RangeError);
  }
  for (const wrong of [{ beta_end: 1 }, { beta_end: 1e-5 }, { beta_end: NaN }]) {
    assert.throws(() => new Scheduler({ ...DEFAULTS, ...wrong }), RangeError);
  }
});
