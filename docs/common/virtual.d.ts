declare module 'virtual:recorded' {
  export const recorded: import('../build/recorded.ts').Recorded;
}
