/** Tokens that need no memory of what came before: comments, strings, words, blanks, single characters. */
const TOKEN = /\/\/[^\n]*|\/\*[^]*?\*\/|"(?:\\[^]|[^"\\\n])*"|'(?:\\[^]|[^'\\\n])*'|[\w$]+|\s+|[^]/y;
const TEMPLATE_PART = /(?:\\[^]|\$(?!\{)|[^`\\$])*(?:`|\$\{|$)/y;
const REGEXP = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/\w*/y;

/** After one of these a slash begins a regular expression, after any other word it divides. */
const WORDS_BEFORE_REGEXP = new Set([
  "return",
  "typeof",
  "case",
  "in",
  "of",
  "void",
  "delete",
  "throw",
  "await",
]);

/**
 * Blanks what is not TypeScript code: comments, and the insides of strings, templates and regular expressions.
 *
 * Returns text of the same length with the same line breaks, so a position in it is a position in `source`. The
 * quotes stay, and so does the code inside `${}`. A slash after `)`, `]` or `}` counts as division.
 */
export function maskSource(source: string): string {
  let masked = "";
  let previous = "";
  const openBraces: number[] = []; // one count for each template we are inside a ${} of

  function take(pattern: RegExp): string {
    pattern.lastIndex = masked.length;
    return pattern.exec(source)?.[0] ?? "";
  }

  function takeTemplate(): void {
    const part = take(TEMPLATE_PART);
    const end = part.endsWith("${") ? 2 : part.endsWith("`") ? 1 : 0;
    masked += blank(part.slice(0, part.length - end)) + part.slice(part.length - end);
    if (end === 2) openBraces.push(0);
  }

  while (masked.length < source.length) {
    const token = take(TOKEN);
    const depth = openBraces.at(-1);
    if (token.startsWith("//") || token.startsWith("/*")) {
      masked += blank(token);
      continue;
    }
    const regexp = token === "/" && beginsRegExp(previous) ? take(REGEXP) : "";
    if (regexp !== "") {
      masked += `/${blank(regexp.slice(1, -1))}/`;
    } else if (token.length > 1 && /^["']/.test(token)) {
      masked += token[0] + blank(token.slice(1, -1)) + token[0];
    } else {
      masked += token;
      if (token === "`") takeTemplate();
      if (depth !== undefined && token === "{") openBraces[openBraces.length - 1] = depth + 1;
      if (depth !== undefined && token === "}") {
        openBraces.pop();
        if (depth > 0) openBraces.push(depth - 1);
        else takeTemplate();
      }
    }
    if (token.trim() !== "") previous = token;
  }
  return masked;
}

/** Replaces every character of `text` but line breaks with a space. */
export function blank(text: string): string {
  return text.replace(/[^\n]/g, " ");
}

/** The line, counted from 1, on which position `index` of `text` stands. */
export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

function beginsRegExp(previous: string): boolean {
  return WORDS_BEFORE_REGEXP.has(previous) || !/[\w$)\]}"'`]$/.test(previous);
}
