/** Places for answers that stay open. */
export interface Streams {
  /** Undefined when all are taken. */
  enter(): Disposable | undefined;
}

export function createStreams(max: number): Streams {
  let taken = 0;
  return {
    enter() {
      if (taken >= max) return undefined;
      taken += 1;
      let open = true;
      return {
        [Symbol.dispose]() {
          if (open) taken -= 1;
          open = false;
        },
      };
    },
  };
}
