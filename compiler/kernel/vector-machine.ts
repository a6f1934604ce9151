/** What kernels are told of a machine's vectors. */
export interface VectorMachine {
  /** Of a register. */
  readonly bytes: number;
  readonly registers: number;
  /** Whether it has an instruction that asks for memory ahead. */
  readonly prefetches: boolean;
}
