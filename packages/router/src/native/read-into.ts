import { Socket, type OnReadOpts, type SocketConstructorOpts } from "node:net";

/**
 * `onread` for connections that were accepted. Node reads into memory of ours where a connection is opened with `onread`; for those
 * that come in it has no such option, though inside they are the same. Where its inside is not as we know it, nothing is done and
 * connections are read as streams, which costs more and does the same.
 */
type Slotted = Record<symbol, unknown>;

interface Slots {
  /** The memory, or true where it is asked for. */
  readonly memory: symbol;
  readonly ask: symbol;
  readonly take: symbol;
}

/** Where a socket keeps its `onread`: found by looking for what we gave it. */
function findSlots(): Slots | undefined {
  const memory = Buffer.alloc(1);
  const ask = (): Buffer => memory;
  const take = (): boolean => true;
  const open = (onread?: OnReadOpts): Slotted => new Socket({ onread } as SocketConstructorOpts) as unknown as Slotted;
  const [fixed, asked] = [open({ buffer: memory, callback: take }), open({ buffer: ask, callback: take })];
  const symbols = Object.getOwnPropertySymbols(open());
  const slot = (of: Slotted, value: unknown): symbol | undefined => symbols.find((symbol) => of[symbol] === value);
  const found = { memory: slot(fixed, memory), ask: slot(asked, ask), take: slot(asked, take) };
  return found.memory !== undefined && found.ask !== undefined && found.take !== undefined ? found as Slots : undefined;
}

const slots = findSlots();

interface Handle { useUserBuffer?(memory: Uint8Array): void }

/** From its next bytes on the connection reads as `onread` says. Its stream must hold nothing. @returns whether it does */
export function readInto(socket: Socket, { buffer, callback }: OnReadOpts & { buffer: () => Uint8Array }): boolean {
  const handle = (socket as unknown as { _handle?: Handle | null })._handle;
  if (slots === undefined || typeof handle?.useUserBuffer !== "function") return false;
  const memory = buffer();
  Object.assign(socket, { [slots.memory]: memory, [slots.ask]: buffer, [slots.take]: callback });
  handle.useUserBuffer(memory);
  return true;
}

/** What comes from now on is the stream's again. */
export function readAsStream(socket: Socket): void {
  if (slots === undefined) return;
  Object.assign(socket, { [slots.take]: (size: number, bytes: Uint8Array) => socket.push(Buffer.from(bytes.subarray(0, size))) });
}
