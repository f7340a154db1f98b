import { Socket } from "node:net";
import { getSystemErrorName } from "node:util";

/**
 * Writing without the stream between: the system is asked at once, and mostly takes what is small at once. Through the stream each write makes
 * several objects and waits for another turn to hear that it is done, which costs as much as the writing itself. Where the inside of Node is not as we
 * know it, nothing is written here, and everything goes through the stream.
 */

/** Who wants to know what became of a write. */
export interface Writer {
  /** All of it is the system's. */
  onWritten(): void;
  /** It waits for the other side to make room; the bytes belong to the connection until then. */
  onLate(): void;
}

/** What the handle of a connection reports to when the system could not take everything at once. */
interface WriteRequest {
  oncomplete: (this: WriteRequest, status: number) => void;
  writer: Writer | undefined;
  socket: Socket | undefined;
  /** Nobody else keeps the bytes. */
  data: Buffer | undefined;
}

interface Handle {
  writeBuffer(request: WriteRequest, data: Uint8Array): number;
  readonly writeQueueSize: number;
}

/** The class of these requests: a connection hands one to its handle. */
function findRequestClass(): (new () => WriteRequest) | undefined {
  let found: (new () => WriteRequest) | undefined;
  const handle = {
    writeBuffer: (request: WriteRequest) => { found = request.constructor as new () => WriteRequest; return 0; },
    readStart: () => 0, readStop: () => 0, getAsyncId: () => 0, close: () => undefined,
  };
  try {
    const socket = new Socket({ handle } as never).on("error", () => undefined);
    socket.write(Buffer.alloc(1));
    socket.destroy();
  } catch {
    return undefined;
  }
  return found?.name === "WriteWrap" ? found : undefined;
}

const Request = findRequestClass();
/** One that was at hand and not needed: only a write that waits takes it. */
let spare: WriteRequest | undefined;

function newRequest(): WriteRequest {
  const request = new (Request as new () => WriteRequest)();
  request.oncomplete = complete;
  return request;
}

function complete(this: WriteRequest, status: number): void {
  const { writer, socket } = this;
  this.data = this.writer = this.socket = undefined;
  if (status === 0) writer?.onWritten();
  else socket?.destroy(writeError(status));
}

function writeError(status: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: "write" });
}

/** Handles that take a second write while one is under way. TLS does not: there only the stream may write. */
const plainHandles = /^(?:TCP|Pipe)$/;
/** The class of the last one that was one of these. */
let plain: unknown;

function isPlain(handle: Handle): boolean {
  const { constructor } = handle;
  if (constructor === plain) return true;
  if (!plainHandles.test(constructor.name)) return false;
  plain = constructor;
  return true;
}

/**
 * Writes to a plain connection on which nothing waits to be written; the one or the other method of `writer` is called, or none where the connection breaks.
 * @returns false where that is left to the stream: then nothing is written
 */
export function writeDirect(socket: Socket, data: Buffer, writer: Writer | undefined): boolean {
  const handle = (socket as unknown as { _handle?: Handle | null })._handle;
  if (Request === undefined || handle === null || handle === undefined || !isPlain(handle) || socket.writableLength > 0 || !socket.writable || (socket.timeout ?? 0) > 0) return false;
  const request = spare ??= newRequest();
  const status = handle.writeBuffer(request, data);
  if (status !== 0) socket.destroy(writeError(status));
  else if (handle.writeQueueSize === 0) writer?.onWritten();
  else {
    spare = undefined;
    request.writer = writer;
    request.socket = socket;
    request.data = data;
    writer?.onLate();
  }
  return true;
}

/** What the system has not taken yet, of the stream and past it. */
export function unsentBytes(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: Partial<Handle> | null };
  return socket.writableLength + (handle?.writeQueueSize ?? 0);
}
