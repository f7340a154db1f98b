/** Something that will happen: when, and after what else of the same moment. */
export interface Appointment {
  /** Microseconds since the simulation began. */
  atUs: number;
  order: number;
  /** Happens after everything else of its moment, also what is added meanwhile. */
  readonly late: boolean;
  /** Whose it is; held back while that node is paused. */
  readonly node: string | undefined;
  run: (() => void) | undefined;
}

const before = (a: Appointment, b: Appointment): boolean =>
  a.atUs !== b.atUs ? a.atUs < b.atUs : a.late !== b.late ? b.late : a.order < b.order;

/** Appointments, the next one first (binary heap). */
export class Agenda {
  readonly #heap: Appointment[] = [];

  add(item: Appointment): void {
    const heap = this.#heap;
    let i = heap.push(item) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(item, heap[parent] as Appointment)) break;
      heap[i] = heap[parent] as Appointment;
      i = parent;
    }
    heap[i] = item;
  }

  /** The next one that was not called off. */
  take(): Appointment | undefined {
    for (;;) {
      const top = this.#takeAny();
      if (!top || top.run) return top;
    }
  }

  clear(): void {
    this.#heap.length = 0;
  }

  #takeAny(): Appointment | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Appointment, heap[child] as Appointment)) child++;
      if (!before(heap[child] as Appointment, last)) break;
      heap[i] = heap[child] as Appointment;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}
