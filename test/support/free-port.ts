import { once } from "node:events";
import { createServer } from "node:net";

/** A port that was free a moment ago, below those that the system hands out by itself: a server that is ended and started
 * again finds it free, whatever connections others open meanwhile. */
export async function freePort(): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    const server = createServer();
    try {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
      return port;
    } catch (error) {
      if (attempt === 50) throw error;
    } finally {
      if (server.listening) await new Promise((done) => server.close(done));
    }
  }
}
