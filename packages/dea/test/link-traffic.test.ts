import { expect, test } from "vitest";
import { createTrafficReader, parseTraffic } from "../src/linux/link-traffic.ts";

const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 2776770   11307    0    0    0     0          0         0  2776770   11307    0    0    0     0       0          0
  ocf3:1215645    2751    1    2    3     4          5         6  1782404    4324    0    0    0   427       0          0
`;

test("counters are those of the container's end: what the host's end received, the container sent", () => {
  expect(parseTraffic(text).get("ocf3")).toEqual({ receivedBytes: 1_782_404, receivedPackets: 4_324, sentBytes: 1_215_645, sentPackets: 2_751 });
  expect([...parseTraffic(text).keys()]).toEqual(["lo", "ocf3"]);
});

test.skipIf(process.platform !== "linux")("reads this machine's, and knows no link that is not there", () => {
  const read = createTrafficReader();
  expect(read("lo")).toMatchObject({ receivedBytes: expect.any(Number) as number, sentPackets: expect.any(Number) as number });
  expect(read("no-such-link")).toBeUndefined();
});
