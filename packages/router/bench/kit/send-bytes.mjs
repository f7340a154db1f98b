// Sends so many bytes on a socket, no faster than it takes them.
import { once } from "node:events";

const piece = Buffer.alloc(65_536, "x");

export async function sendBytes(socket, bytes) {
  for (let left = bytes; left > 0 && !socket.destroyed; left -= piece.length) {
    if (!socket.write(left < piece.length ? piece.subarray(0, left) : piece)) await once(socket, "drain").catch(() => undefined);
  }
}
