import type { Socket } from "node:net";
import type { HeaderBlock, RequestHead } from "../http1/head.ts";
import type { Arrival, GoneListener } from "../proxy/arrival.ts";
import { ClientRequest } from "./client-request.ts";
import type { ClientResponse } from "./client-response.ts";

/** A request whose head the router's own reader has read. Its stream is made when there is a body, or when somebody asks. */
export class ClientArrival implements Arrival {
  readonly head: RequestHead;
  readonly socket: Socket;
  readonly #response: ClientResponse;
  readonly #wanted: () => void;
  #request: ClientRequest | undefined = undefined;

  /** `wanted`: called when somebody has taken what came of the body last. */
  constructor(response: ClientResponse, head: RequestHead, wanted: () => void) {
    this.#response = response;
    this.socket = response.socket;
    this.head = head;
    this.#wanted = wanted;
  }

  get method(): string { return this.head.method; }
  get target(): string { return this.head.target; }
  get host(): string { return this.head.host ?? ""; }
  get httpVersion(): string { return this.head.version; }
  get httpVersionMajor(): number { return 1; }
  get httpVersionMinor(): number { return this.head.version === "1.1" ? 1 : 0; }
  get rawHeaders(): readonly string[] { return this.head.rawHeaders; }
  get block(): HeaderBlock { return this.head.block; }
  get hasBody(): boolean { return this.head.framing.kind !== "none"; }
  get request(): ClientRequest { return this.#request ??= new ClientRequest(this.socket, this.head, this.#wanted); }

  whenGone(listener: GoneListener): void { this.#response.whenGone(listener); }

  /** The client is gone. */
  leave(): void { this.#request?.leave(); }
}
