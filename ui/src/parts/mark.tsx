/** The mark of Creel: a wicker fishing basket. Owns: its drawing. Refuses to know: where it stands. */

/** The basket, in the current text colour. */
export function Mark(props: { size?: number; className?: string }) {
  const size = props.size ?? 24;
  return (
    <svg
      viewBox="0 0 32 32"
      width={size}
      height={size}
      fill="none"
      aria-hidden="true"
      className={props.className}
    >
      <g stroke="currentColor" strokeLinecap="round">
        <path d="M8 11.5C8 6.8 11.3 3.5 16 3.5s8 3.3 8 8" strokeWidth="2.2" />
        <path d="M5.2 18.5C5.6 24.6 9.2 28.5 16 28.5s10.4-3.9 10.8-10" strokeWidth="2.2" />
        <path
          d="M11.3 18.5c.1 3.3.5 6.3 1.3 9M20.7 18.5c-.1 3.3-.5 6.3-1.3 9M16 18.5v9.5M7 22.8h18"
          strokeWidth="1.6"
        />
      </g>
      <path
        fill="currentColor"
        fillRule="evenodd"
        d="M5.4 11h21.2A2.4 2.4 0 0 1 29 13.4v.7a2.4 2.4 0 0 1-2.4 2.4H5.4A2.4 2.4 0 0 1 3 14.1v-.7A2.4 2.4 0 0 1 5.4 11Zm8.85 1.7a1.05 1.05 0 0 0 0 2.1h3.5a1.05 1.05 0 0 0 0-2.1h-3.5Z"
      />
    </svg>
  );
}
