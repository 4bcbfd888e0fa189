// placeholder until written
import type { Report } from './attack.js'
export const junitOf = (report: Report): string => report.url
