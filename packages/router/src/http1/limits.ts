/** How much of a message is read before it is refused. */
export interface Http1Limits {
  /** Start line and headers with all line ends. Default 65 536 bytes. */
  maxHeadBytes?: number;
  /** Headers of one head. Default 1 000. */
  maxHeaders?: number;
  /** Chunk extensions of one body, all together; they are dropped anyway. Default 4 096 bytes. */
  maxChunkExtensionBytes?: number;
  /** Trailers of one body with all line ends. Default 16 384 bytes; of their number `maxHeaders` speaks. */
  maxTrailerBytes?: number;
}

export const withDefaults = ({ maxHeadBytes = 65_536, maxHeaders = 1_000, maxChunkExtensionBytes = 4_096, maxTrailerBytes = 16_384 }: Http1Limits): Required<Http1Limits> =>
  ({ maxHeadBytes, maxHeaders, maxChunkExtensionBytes, maxTrailerBytes });
