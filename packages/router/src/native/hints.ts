import type { Exchange } from "../proxy/exchange.ts";

/** 103 Early Hints are the only interim answers worth handing on; 100 is between the router and each side. */
export function passHints({ httpVersionMajor, httpVersionMinor, response }: Exchange, headers: readonly string[]): void {
  const link = headers.filter((_, at) => at % 2 === 1 && (headers[at - 1] as string).toLowerCase() === "link");
  if (link.length > 0 && (httpVersionMajor > 1 || httpVersionMinor > 0)) response.writeEarlyHints({ link });
}
