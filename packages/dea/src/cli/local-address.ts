import { createSocket } from "node:dgram";

/**
 * Address of this machine from which another one is reached: what a peer of that machine can call us by. Sends nothing; the
 * kernel answers from its routes. Undefined where it knows none.
 */
export function addressTowards(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    const done = (address: string | undefined): void => {
      socket.close();
      resolve(address);
    };
    socket.once("error", () => done(undefined));
    socket.connect(port, host, () => done(socket.address().address));
  });
}
