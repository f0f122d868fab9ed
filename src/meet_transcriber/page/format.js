/* Formats times, sizes and dates. */

const LANGUAGE = document.documentElement.lang || "en";
const UNITS = ["B", "kB", "MB", "GB", "TB"];
const relative = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: "auto" });
const dateAndTime = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "medium", timeStyle: "short" });

/** @param {number} seconds @returns {string} Such as 1:05 or 2:03:09. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** @param {number} seconds @returns {string} Such as 42 s, 3 min or 1 h 20 min. */
export function span(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** @param {number} bytes @returns {string} Such as 1.2 MB, in powers of 1000. */
export function size(bytes) {
  let at = 0;
  while (bytes >= 999.5 && at < UNITS.length - 1) { bytes /= 1000; at += 1; }
  return `${bytes.toFixed(at && bytes < 100 ? 1 : 0)} ${UNITS[at]}`;
}

/** @param {string} iso @returns {string} "3 minutes ago" within a day, else the date. */
export function since(iso) {
  const minutes = (Date.parse(iso) - Date.now()) / 60_000;
  if (minutes > -1) return "just now";
  if (minutes > -60) return relative.format(Math.round(minutes), "minute");
  if (minutes > -24 * 60) return relative.format(Math.round(minutes / 60), "hour");
  return moment(iso);
}

/** @param {string} iso @returns {string} Date and time in the user's time zone. */
export function moment(iso) {
  return dateAndTime.format(new Date(iso));
}

/** @param {number} value 0 to 100. @returns {string} */
export function percent(value) {
  return `${Math.floor(value)} %`;
}

/** @param {number} count @param {string} one @param {string} many @returns {string} */
export function counted(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}
