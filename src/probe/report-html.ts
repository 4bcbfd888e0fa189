// placeholder until written
import type { Report } from './attack.js'
export const htmlOf = (report: Report): string => report.url
