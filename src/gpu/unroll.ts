/**
 * Text-level specialisation of WGSL: values of `const` and `alias` lines, and loops marked `// @unroll`.
 *
 * Loops over register tiles must be expanded before compiling: naga adds a counter to each loop that keeps
 * drivers from unrolling, and arrays indexed by a loop variable leave the registers.
 */

/** Replaces the value on the line `const NAME: TYPE = VALUE;` (or `alias NAME = VALUE;`) for each entry. */
export function specialise(source: string, constants: Readonly<Record<string, number | string>>): string {
  for (const [name, value] of Object.entries(constants)) {
    const line = new RegExp(`^((?:const|alias) ${name}(?:: (\\w+))? = )[^;]+;`, "m");
    if (!line.test(source)) {
      throw new SyntaxError(`Cannot set constant "${name}": the shader has no such line`);
    }
    source = source.replace(line, (_, head, type) => `${head}${value}${type === "u32" ? "u" : ""};`);
  }
  return source;
}

/**
 * Expands every loop `for (var i = A; i < B; i += C) { // @unroll`, innermost bounds may use outer variables. Indices
 * that are known become literals.
 */
export function unroll(source: string): string {
  const constants = new Map<string, number>();
  for (const [, name, value] of source.matchAll(/^const (\w+)(?:: [iu]32)? = ([^;]+);/gm)) {
    const number = tryEvaluate(value!, constants);
    if (number !== undefined) constants.set(name!, number);
  }
  return foldIndices(expand(source.split("\n"), constants).join("\n"), constants);
}

const LOOP =
  /^(\s*)for \(var (\w+)(?:: [iu]32)? = ([^;]+); \2 < ([^;]+); \2(?:\+\+| \+= ([^)]+))\) \{ \/\/ @unroll\s*$/;

function expand(lines: readonly string[], constants: ReadonlyMap<string, number>): string[] {
  const out: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const loop = line.match(LOOP);
    if (!loop) {
      if (line.includes("@unroll")) {
        throw new SyntaxError(`Cannot unroll line "${line.trim()}": not a counted loop`);
      }
      out.push(line);
      continue;
    }
    const [, indent, name, from, to, step] = loop;
    const end = lines.findIndex((other, j) => j > i && other === `${indent}}`);
    if (end < 0) throw new SyntaxError(`Cannot unroll line "${line.trim()}": no closing brace at its indent`);
    const body = lines.slice(i + 1, end);
    const stride = step ? evaluate(step, constants) : 1;
    if (!(stride > 0)) throw new SyntaxError(`Cannot unroll line "${line.trim()}": step must be positive`);
    for (let value = evaluate(from!, constants); value < evaluate(to!, constants); value += stride) {
      const literal = `${value}u`;
      const copy = body.map((b) => b.replace(new RegExp(`\\b${name}\\b`, "g"), literal));
      out.push(`${indent}{`, ...expand(copy, constants), `${indent}}`);
    }
    i = end;
  }
  return out;
}

/** Writes indices that are known as literals: naga would compute those of each copy, and takes twice as long. */
function foldIndices(source: string, constants: ReadonlyMap<string, number>): string {
  return source.replace(/\[([^[\]\n]+)\]/g, (index, text) => {
    const value = tryEvaluate(text, constants);
    return value === undefined || value < 0 ? index : `[${value}u]`;
  });
}

function tryEvaluate(text: string, constants: ReadonlyMap<string, number>): number | undefined {
  try {
    return evaluate(text, constants);
  } catch {
    return undefined;
  }
}

/** Integer arithmetic of WGSL constants: + - * / % and parentheses. */
function evaluate(text: string, constants: ReadonlyMap<string, number>): number {
  const tokens = text.match(/\d+[ui]?|[A-Za-z_]\w*|[-+*/%()]|\S/g) ?? [];
  let at = 0;

  function atom(): number {
    const token = tokens[at++] ?? "";
    if (token === "(") {
      const value = sum();
      if (tokens[at++] !== ")") throw new SyntaxError(`Cannot evaluate "${text}": missing ")"`);
      return value;
    }
    const value = /^\d/.test(token) ? parseInt(token) : constants.get(token);
    if (value === undefined) {
      throw new SyntaxError(`Cannot evaluate "${text}": "${token}" is not a known constant`);
    }
    return value;
  }

  function product(): number {
    let value = atom();
    while ("*/%".includes(tokens[at] ?? " ")) {
      const operator = tokens[at++];
      const right = atom();
      value = operator === "*" ? value * right : operator === "/" ? Math.trunc(value / right) : value % right;
    }
    return value;
  }

  function sum(): number {
    let value = product();
    while ("+-".includes(tokens[at] ?? " ")) {
      value = tokens[at++] === "+" ? value + product() : value - product();
    }
    return value;
  }

  const value = sum();
  if (at !== tokens.length) throw new SyntaxError(`Cannot evaluate "${text}": stray "${tokens[at]}"`);
  return value;
}
