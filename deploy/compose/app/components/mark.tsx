/** The app's sign, in the colours of the text around it. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" className="mark-ground" />
      <path className="mark-ink" d="M8.5 10.5a3 3 0 0 1 3-3h9a3 3 0 0 1 3 3v6a3 3 0 0 1-3 3h-5L11 23.700v-4.200a2.500 2.500 0 0 1-2.500-2.500z" />
    </svg>
  );
}
