"""Cross-match: which things of another catalogue lie where ours do, asked of CDS XMatch or found in a file on this machine."""
