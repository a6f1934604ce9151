/** Records as a table of plain text: numbers flush right, one line a record. */

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  /** Flush left: for names, last of the columns. */
  readonly left?: boolean;
}

export function printTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const texts = columns.map(({ title, cell, left }) => {
    const cells = [title, ...rows.map(cell)];
    const width = Math.max(...cells.map(({ length }) => length));
    return cells.map((text) => (left ? text : text.padStart(width)));
  });
  return [-1, ...rows.keys()].map((row) => texts.map((cells) => cells[row + 1] ?? "").join("  ")).join("\n");
}
