import * as v from "valibot";
import config from "../../deno.json" with { type: "json" };
import { escapeName } from "../text/escape_name.ts";

const FORMAT = 1;

/** All that decides the bytes of a job's output. */
export interface Manifest {
  /** Version of this structure. */
  readonly format: 1;
  /** Version of this program. */
  readonly version: string;
  /** Version of Deno, which brings WebGPU and the shader compiler. */
  readonly deno: string;
  /** The adapter's description. */
  readonly adapter: string;
  /** Settings by name. */
  readonly settings: Readonly<Record<string, string | number | boolean | null>>;
  /** SHA-256 of the model's files, by path in the model folder. */
  readonly model: Readonly<Record<string, string>>;
  /** SHA-256 of the input frames, by name. */
  readonly inputs: Readonly<Record<string, string>>;
}

const hashes = v.record(v.string(), v.string());
const schema: v.GenericSchema<unknown, Manifest> = v.strictObject({
  format: v.literal(FORMAT),
  version: v.string(),
  deno: v.string(),
  adapter: v.string(),
  settings: v.record(v.string(), v.union([v.string(), v.number(), v.boolean(), v.null()])),
  model: hashes,
  inputs: hashes,
});

/** Adds what this program knows by itself. */
export function makeManifest(
  job: Pick<Manifest, "adapter" | "settings" | "model" | "inputs">,
): Manifest {
  return { format: FORMAT, version: config.version, deno: Deno.version.deno, ...job };
}

/** Reads the text of a manifest. Throws SyntaxError where it is none, or one of another format. */
export function parseManifest(text: string): Manifest {
  const result = v.safeParse(schema, JSON.parse(text));
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new SyntaxError(`${v.getDotPath(issue) ?? "content"}: ${issue.message}`);
}

/** What is different in `wanted`: one phrase per field, empty where nothing is. */
export function manifestChanges(kept: Manifest, wanted: Manifest): string[] {
  const before = fields(kept), after = fields(wanted);
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((name) => {
    const [old, now] = [before.get(name), after.get(name)];
    if (old === now) return [];
    const field = escapeName(name);
    if (old === undefined) return [`${field} is new`];
    if (now === undefined) return [`${field} is missing`];
    if (/^(model|inputs)\//.test(name)) return [`${field} has another content`];
    return [`${field} is ${escapeName(now)}, the unfinished job has ${escapeName(old)}`];
  });
}

/** Every value as text, by its name. */
function fields({ settings, model, inputs, format: _, ...rest }: Manifest): Map<string, string> {
  const all = new Map<string, string>(Object.entries(rest));
  for (const [name, value] of Object.entries(settings)) all.set(name, String(value));
  for (const [name, hash] of Object.entries(model)) all.set(`model/${name}`, hash);
  for (const [name, hash] of Object.entries(inputs)) all.set(`inputs/${name}`, hash);
  return all;
}
