/**
 * Makes a file name safe to print: control, format and line-separator characters and lone surrogates become
 * `\u{hex}`, so that a name can neither move the cursor nor colour, hide or reorder the text around it.
 */
export function escapeName(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}
