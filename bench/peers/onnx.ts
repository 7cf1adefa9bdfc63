/** One node of a graph: operator, names of inputs and outputs, attributes, and a domain where it is not ONNX's own. */
export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
  readonly domain?: string;
}

/** A graph from `x` to `y`, both of `shape`. */
export interface OnnxGraph {
  readonly shape: readonly number[];
  readonly nodes: readonly OnnxNode[];
  readonly constants: Readonly<Record<string, { shape: readonly number[]; data: Float32Array }>>;
}

/** Domain of ONNX Runtime's own operators. */
export const MICROSOFT = "com.microsoft";

const OPSET = 17, IR_VERSION = 8;
const FLOAT = 1, ATTRIBUTE_INT = 2, ATTRIBUTE_INTS = 7;

/** Encodes a float32 graph as an ONNX file; field numbers are those of onnx.proto3. */
export function encodeOnnx({ shape, nodes, constants }: OnnxGraph): Uint8Array {
  const graph = [
    ...nodes.map((node) => bytes(1, encodeNode(node))),
    text(2, "chain"),
    ...Object.entries(constants).map(([name, constant]) => bytes(5, encodeConstant(name, constant))),
    bytes(11, encodeValue("x", shape)),
    bytes(12, encodeValue("y", shape)),
  ];
  return concat([
    integer(1, IR_VERSION),
    bytes(7, concat(graph)),
    bytes(8, concat([text(1, ""), integer(2, OPSET)])),
    bytes(8, concat([text(1, MICROSOFT), integer(2, 1)])),
  ]);
}

function encodeNode({ op, inputs, output, attributes = {}, domain = "" }: OnnxNode): Uint8Array {
  return concat([
    ...inputs.map((name) => text(1, name)),
    text(2, output),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) =>
      bytes(
        5,
        typeof value === "number"
          ? concat([text(1, name), integer(3, value), integer(20, ATTRIBUTE_INT)])
          : concat([text(1, name), ...value.map((v) => integer(8, v)), integer(20, ATTRIBUTE_INTS)]),
      )
    ),
    text(7, domain),
  ]);
}

function encodeConstant(
  name: string,
  { shape, data }: { shape: readonly number[]; data: Float32Array },
): Uint8Array {
  const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return concat([...shape.map((d) => integer(1, d)), integer(2, FLOAT), text(8, name), bytes(9, raw)]);
}

function encodeValue(name: string, shape: readonly number[]): Uint8Array {
  const dimensions = concat(shape.map((d) => bytes(1, integer(1, d))));
  return concat([text(1, name), bytes(2, bytes(1, concat([integer(1, FLOAT), bytes(2, dimensions)])))]);
}

function integer(field: number, value: number): Uint8Array {
  return new Uint8Array([...varint(field << 3), ...varint(value)]);
}

function bytes(field: number, value: Uint8Array): Uint8Array {
  return concat([new Uint8Array([...varint(field << 3 | 2), ...varint(value.length)]), value]);
}

function text(field: number, value: string): Uint8Array {
  return bytes(field, new TextEncoder().encode(value));
}

/** Seven bits a byte, lowest first; `value` is not negative and may exceed 32 bits. */
function varint(value: number): number[] {
  const out: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) out.push(value % 128 | 128);
  return [...out, value];
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
