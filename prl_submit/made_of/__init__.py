"""What a run was made of: its code, its data and the versions of its packages, in the folder `made_of`.

    contents.py       the data of the folder's JSON files
    masking.py        which files and variables are credentials; in lines: system/credentials.py
    working_tree.py   the changes of the working tree since its last commit
    new_files.py      files that git does not know, as a part of that difference
    code_files.py     copies of the plugins and other files that the job names
    data_files.py     size, rows and checksum of the data
    recording.py      writes all of it into run directories
    recorded.py       reads it again
    hunks.py          a difference that git made, taken apart and applied
    code_versions.py  the files of a repository as a run had them
    differences.py    what differs between two runs; code_differences.py: in their code
    difference_text.py  the same in lines for a terminal

The nodes write their versions themselves: runs/node_versions.py.
"""
