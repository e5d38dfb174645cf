"""Raw and true labels → a network.

Read `trainer` first: it draws crops (`sampling`, `augmentation`, `section_defects`), makes their targets (`targets`,
`descriptors`), weighs the errors (`losses`, `malis`) and takes steps, in one process or several (`processes`, `launching`).
`validation` segments a held-out part. All options are in `options`. Files are written by the pipeline.
"""
